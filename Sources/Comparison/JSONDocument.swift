import FoundationEssentials

/// A JSON document, compared by what it means: servers print the members of an object in different orders, and a number in
/// different spellings.
enum JSONDocument: Equatable {
    case null
    case bool(Bool)
    /// A whole number of 64 bits.
    case integer(Int128)
    /// Any other number.
    case number(Double)
    /// UTF-8. `String` takes different bytes for equal where they are canonically equivalent.
    case string([UInt8])
    case array([JSONDocument])
    case object([String: JSONDocument])

    /// - Parameter text: UTF-8; `nil`: there is no document.
    /// - Returns: `nil` if it is no JSON, or nested deeper than Foundation reads it (512 levels).
    init?(_ text: [UInt8]?) {
        guard let text, let document = try? JSONDecoder().decode(Self.self, from: Data(text)) else { return nil }
        self = document
    }

    /// Whether two texts are the same document.
    static func areEqual(_ a: [UInt8]?, _ b: [UInt8]?) -> Bool {
        if a == b { return true }
        guard let a = JSONDocument(a), let b = JSONDocument(b) else { return false }
        return a == b
    }
}

extension JSONDocument: Decodable {
    init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer()
        if let text = try? value.decode(String.self) {
            self = .string(Array(text.utf8))
        } else if let integer = try? value.decode(Int64.self) {
            self = .integer(Int128(integer))
        } else if let integer = try? value.decode(UInt64.self) {
            self = .integer(Int128(integer))
        } else if let number = try? value.decode(Double.self) {
            self = .number(number)
        } else if let bool = try? value.decode(Bool.self) {
            self = .bool(bool)
        } else if value.decodeNil() {
            self = .null
        } else if let elements = try? value.decode([JSONDocument].self) {
            self = .array(elements)
        } else {
            self = .object(try value.decode([String: JSONDocument].self))
        }
    }
}
