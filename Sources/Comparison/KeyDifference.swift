import Link

/// A key that was different on both sides each time it was read, while nothing wrote to it.
package struct KeyDifference: Equatable, Sendable {
    package enum Kind: String, Sendable, CaseIterable {
        /// The source has the key and the target lacks it.
        case missing
        /// The target has the key and the source lacks it.
        case extra
        case type
        /// The numbers of elements or bytes differ.
        case length
        case value
        /// The groups of a stream differ: names, last delivered IDs or pending entries.
        case groups
        /// The absolute deadlines differ, and not by one of df2redis' own margins.
        case ttl
        /// Not a difference to repair: a policy leaves the key out, and the target lacks it.
        case leftOut = "left-out"
    }

    package let database: UInt32
    package let key: [UInt8]
    package let kind: Kind
    /// The type at the source, or at the target if the source has no such key.
    package let type: String
    /// What differs, for messages: a type, a number or a deadline, but never a value.
    package let source: String?
    package let target: String?

    /// One line of JSON, without its line end. The key is given as text if its bytes are UTF-8, and always in hexadecimal.
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
