import FoundationEssentials
import Replication

/// Reads the key from a line of input.
enum KeyLine {
    private struct Fields: Decodable {
        var database: UInt32?
        var key: String?
        /// From `df2redis check`.
        var keyHex: String?
        /// In `*.dead-letters.jsonl`.
        var time: Int64?
        var kind: String?
    }

    /// The kinds of dead letters that do not name a key of the source.
    private static let keyless: Set = ["script", "throttle"]

    /// - Returns: `nil` if the line is empty or names no key.
    static func entry(_ line: [UInt8], database: UInt32) -> KeySource.Entry? {
        if line.isEmpty { return nil }
        guard line.first == UInt8(ascii: "{"),
            let fields = try? JSONDecoder().decode(Fields.self, from: Data(line)), let number = fields.database
        else { return .key(RefreshKey(database: database, key: line)) }
        if let text = fields.keyHex {
            return bytes(ofHexadecimal: text).map { .key(RefreshKey(database: number, key: $0)) } ?? .unreadable
        }
        guard let text = fields.key else { return .unreadable }
        guard fields.time != nil else { return .key(RefreshKey(database: number, key: Array(text.utf8))) }
        if let kind = fields.kind, keyless.contains(kind) { return nil }
        return bytes(ofQuoted: text).map { .key(RefreshKey(database: number, key: $0)) } ?? .unreadable
    }

    /// Decodes a text that `printableKey` has made.
    ///
    /// - Returns: `nil` if the key was cut off, or the text has another form.
    private static func bytes(ofQuoted text: String) -> [UInt8]? {
        let quote = UInt8(ascii: "\"")
        var rest = Array(text.utf8)[...]
        guard rest.count > 2, rest.popFirst() == quote, rest.popLast() == quote else { return nil }
        var bytes: [UInt8] = []
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "\\") else {
                // A quote before the end shows that the key was cut off.
                if byte == quote { return nil }
                bytes.append(byte)
                continue
            }
            guard let escaped = rest.popFirst() else { return nil }
            guard escaped == UInt8(ascii: "x") else {
                bytes.append(escaped)
                continue
            }
            let digits = String(decoding: rest.prefix(2), as: UTF8.self)
            guard let value = UInt8(digits, radix: 16), digits.utf8.count == 2 else { return nil }
            rest = rest.dropFirst(2)
            bytes.append(value)
        }
        return bytes
    }

    private static func bytes(ofHexadecimal text: String) -> [UInt8]? {
        let digits = Array(text.utf8)
        guard digits.count % 2 == 0 else { return nil }
        var bytes: [UInt8] = []
        for place in stride(from: 0, to: digits.count, by: 2) {
            guard let byte = UInt8(String(decoding: digits[place..<place + 2], as: UTF8.self), radix: 16) else {
                return nil
            }
            bytes.append(byte)
        }
        return bytes
    }
}
