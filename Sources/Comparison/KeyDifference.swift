import Link

/// A key that is not the same on both sides, time and again, while nothing wrote to it.
package struct KeyDifference: Equatable, Sendable {
    package enum Kind: String, Sendable, CaseIterable {
        /// The source has the key, the target lacks it.
        case missing
        /// The target has the key, the source lacks it.
        case extra
        case type
        /// Numbers of elements, or of bytes, differ.
        case length
        case value
        /// A stream's groups: names, last delivered ids, pending entries.
        case groups
        /// Absolute deadlines differ, by none of df2redis' own margins.
        case ttl
        /// No difference to be mended: a policy leaves the key out, and the target lacks it.
        case leftOut = "left-out"
    }

    package let database: UInt32
    package let key: [UInt8]
    package let kind: Kind
    /// The source's, or the target's where the source has no such key.
    package let type: String
    /// What differs, for people: a type, a number, a deadline; never a value.
    package let source: String?
    package let target: String?

    /// One line of JSON, without its line end. The key is text where its bytes are UTF-8, and hexadecimal always.
    package var json: String {
        var fields = [
            ("database", "\(database)"), ("kind", JSONText.quoted(kind.rawValue)), ("type", JSONText.quoted(type)),
        ]
        func add(_ name: String, _ text: String?) {
            if let text { fields.append((name, JSONText.quoted(text))) }
        }
        add("key", String(validating: key, as: UTF8.self))
        add("keyHex", Self.hexadecimal(key))
        add("source", source)
        add("target", target)
        return JSONText.object(fields)
    }

    private static func hexadecimal(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(
            decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}
