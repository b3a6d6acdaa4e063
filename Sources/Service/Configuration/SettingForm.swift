import Link
import Logging

/// How a value of a configuration is written: what is expected, how it is read, how it is printed.
struct SettingForm<Value: Sendable>: Sendable {
    /// What is allowed here, as the end of 'expected ...'.
    let expected: String
    /// Whether messages must not repeat the value.
    var isSecret = false
    /// The words to choose from; empty if the form has no fixed words.
    var choices: [String] = []
    /// Returns the value of a text, or nil if it is none. Never called with an empty text.
    let parse: @Sendable (String) -> Value?
    /// Returns the value as text.
    let print: @Sendable (Value) -> String
}

extension SettingForm where Value == String {
    static let text = SettingForm(expected: "text", parse: { $0 }, print: { $0 })
    /// A path; the loader makes it absolute.
    static let path = SettingForm(expected: "a path", parse: { $0.contains("\0") ? nil : $0 }, print: { $0 })
}

extension SettingForm where Value == Secret {
    static let secret = SettingForm(
        expected: "text", isSecret: true, parse: { Secret($0) }, print: { $0.description })
    /// A URL; secret as a whole, because it may contain a token.
    static let url = SettingForm(
        expected: "a URL that begins with http:// or https://", isSecret: true,
        parse: { text in
            let host = ["http://", "https://"].first { text.lowercased().hasPrefix($0) }.map {
                text.dropFirst($0.count)
            }
            guard let host, !host.isEmpty, !host.hasPrefix("/"), !text.contains(where: \.isWhitespace) else {
                return nil
            }
            return Secret(text)
        },
        print: { $0.description })
}

extension SettingForm where Value == Bool {
    static let boolean = SettingForm(
        expected: "true or false", choices: ["true", "false"],
        parse: { ["true": true, "false": false][$0.lowercased()] }, print: { String($0) })
}

extension SettingForm where Value == Int {
    /// A whole number; zero means `replacement` if there is one.
    static func integer(_ range: ClosedRange<Int>, zeroMeans replacement: Int? = nil) -> SettingForm {
        SettingForm(
            expected: "a whole number from \(range.lowerBound) to \(range.upperBound)",
            parse: { text in
                guard let number = Int(text) else { return nil }
                if number == 0, let replacement { return replacement }
                return range.contains(number) ? number : nil
            },
            print: { String($0) })
    }

    static func bytes(_ range: ClosedRange<Int>) -> SettingForm {
        SettingForm(
            expected: "a size from \(ByteSize.text(range.lowerBound)) to \(ByteSize.text(range.upperBound)), "
                + "in bytes or with KiB, MiB, GiB, TiB",
            parse: { ByteSize.parse($0).flatMap { range.contains($0) ? $0 : nil } },
            print: ByteSize.text)
    }
}

extension SettingForm where Value == Duration {
    /// A number of seconds, with decimals if need be; exact to the millisecond.
    static func seconds(_ range: ClosedRange<Double>, zeroMeans replacement: Duration? = nil) -> SettingForm {
        SettingForm(
            expected: "seconds from \(number(range.lowerBound)) to \(number(range.upperBound))",
            parse: { text in
                guard text.utf8.allSatisfy({ $0 == UInt8(ascii: ".") || (0x30...0x39).contains($0) }),
                    let seconds = Double(text)
                else { return nil }
                if seconds == 0, let replacement { return replacement }
                return range.contains(seconds) ? .milliseconds(Int((seconds * 1000).rounded())) : nil
            },
            print: { number(Double($0.wholeMilliseconds) / 1000) })
    }

    /// A whole number of milliseconds.
    static func milliseconds(_ range: ClosedRange<Int>) -> SettingForm {
        SettingForm(
            expected: "milliseconds from \(range.lowerBound) to \(range.upperBound)",
            parse: { Int($0).flatMap { range.contains($0) ? .milliseconds($0) : nil } },
            print: { String($0.wholeMilliseconds) })
    }

    private static func number(_ value: Double) -> String {
        value == value.rounded() ? String(Int(value)) : String(value)
    }
}

extension Duration {
    fileprivate var wholeMilliseconds: Int64 {
        components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000
    }
}

extension SettingForm where Value == UInt32 {
    /// The number of a database.
    static let database = SettingForm(
        expected: "the number of a database",
        parse: { $0.utf8.allSatisfy { (0x30...0x39).contains($0) } ? UInt32($0) : nil }, print: { String($0) })
}

extension SettingForm where Value == Configuration.DatabaseUse {
    static let databaseUse = SettingForm(
        expected: "the database's own number, or skip", choices: ["skip"],
        parse: { $0.lowercased() == "skip" ? .skip : SettingForm<UInt32>.database.parse($0).map { .kept($0) } },
        print: { use in
            switch use {
            case .kept(let number): String(number)
            case .skip: "skip"
            }
        })
}

extension SettingForm where Value == Endpoint {
    static let address = SettingForm(
        expected: "host:port, an IPv6 address as \"[2001:db8::1]:6379\"",
        parse: { Endpoint(connecting: $0) }, print: \.description)
    static let listenAddress = SettingForm(
        expected: "host:port or :port", parse: { Endpoint(listening: $0) }, print: \.description)
}

extension SettingForm where Value: RawRepresentable & CaseIterable, Value.RawValue == String {
    /// One of an enum's words; `synonyms` are further spellings.
    static func choice(synonyms: [String: Value] = [:]) -> SettingForm {
        let words = Value.allCases.map(\.rawValue)
        return SettingForm(
            expected: words.formatted(), choices: words + synonyms.keys.sorted(),
            parse: { Value(rawValue: $0.lowercased()) ?? synonyms[$0.lowercased()] }, print: \.rawValue)
    }
}

extension SettingForm where Value == Logger.Level {
    static let logLevel = SettingForm(
        expected: Logger.Level.allCases.map(\.rawValue).formatted(),
        choices: Logger.Level.allCases.map(\.rawValue),
        parse: { $0.lowercased() == "warn" ? .warning : Logger.Level(rawValue: $0.lowercased()) }, print: \.rawValue)
}

extension [String] {
    /// The words as an English list: `a, b or c`.
    fileprivate func formatted() -> String {
        guard count > 1, let last else { return first ?? "" }
        return dropLast().joined(separator: ", ") + " or " + last
    }
}
