import FoundationEssentials

/// An answer of a task as JSON. Who writes it and who reads it, another process of ours, have one type for it.
///
/// A field that is added later has to be optional: a command may ask a daemon of an older version.
package protocol JSONDocument: Codable, Sendable {}

extension JSONDocument {
    /// One line, with a line feed.
    package var json: String { JSONLine.text(of: self) }

    package init(json: some StringProtocol) throws { self = try JSONDecoder().decode(Self.self, from: Data(json.utf8)) }
}

/// One line of JSON, its fields in the order of their names.
enum JSONLine {
    static func text(of value: some Encodable) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Only a number that is none could not be encoded.
        let data = (try? encoder.encode(value)) ?? Data("{}".utf8)
        return String(decoding: data, as: UTF8.self) + "\n"
    }
}

/// An optional value that is written as `null`, and not left out: every figure of a status is in each of them.
@propertyWrapper
package struct OrNull<Value: Codable & Sendable>: Codable, Sendable {
    package var wrappedValue: Value?

    package init(wrappedValue: Value?) { self.wrappedValue = wrappedValue }

    package init(from decoder: any Decoder) throws {
        wrappedValue = try decoder.singleValueContainer().decode(Value?.self)
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(wrappedValue)
    }
}

extension OrNull: Equatable where Value: Equatable {}

extension KeyedDecodingContainer {
    /// Takes a missing key for `null`.
    package func decode<Value>(_ type: OrNull<Value>.Type, forKey key: Key) throws -> OrNull<Value> {
        OrNull(wrappedValue: try decodeIfPresent(Value.self, forKey: key))
    }
}
