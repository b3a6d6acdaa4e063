import Foundation
import Testing

@testable import Dashboard

@Suite struct `The page's colours` {
    /// Text colours, each with a background that it is used on.
    private static let pairs = [
        ("ink", "paper"), ("ink", "card"), ("ink", "line"), ("soft", "paper"), ("soft", "card"), ("accent", "paper"),
        ("card", "accent"), ("good", "goodBack"), ("warn", "warnBack"), ("warn", "card"), ("bad", "badBack"),
        ("bad", "card"),
    ]

    /// The colours by name, of a light page and of a dark one.
    private static let schemes: [[String: String]] = PageStyle.css.components(separatedBy: "@media").prefix(2).map {
        Dictionary(
            $0.matches(of: /--([A-Za-z]+): #([0-9a-f]+);/).map { (String($0.output.1), String($0.output.2)) },
            uniquingKeysWith: { first, _ in first })
    }

    /// Source: WCAG 2.2, relative luminance.
    private static func luminance(_ colour: String) throws -> Double {
        let digits = colour.count == 3 ? colour.map { "\($0)\($0)" }.joined() : colour
        let number = try #require(Int(digits, radix: 16))
        func part(_ shift: Int) -> Double {
            let value = Double(number >> shift & 0xFF) / 255
            return value <= 0.04045 ? value / 12.92 : pow((value + 0.055) / 1.055, 2.4)
        }
        return 0.2126 * part(16) + 0.7152 * part(8) + 0.0722 * part(0)
    }

    @Test(arguments: 0..<2) func `have the contrast that WCAG requires of text`(_ scheme: Int) throws {
        let colours = Self.schemes[scheme]
        for (text, ground) in Self.pairs {
            let both = try [text, ground].map { try Self.luminance(try #require(colours[$0])) }.sorted()
            let contrast = (both[1] + 0.05) / (both[0] + 0.05)
            #expect(contrast >= 4.5, "\(text) on \(ground): \(contrast)")
        }
    }
}
