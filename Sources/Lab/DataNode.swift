/// The value of a key, in a form for comparing two servers, or a server with a recording's `expected.json`.
package indirect enum DataNode: Equatable, Sendable {
    case null
    case bytes([UInt8])
    case integer(Int)
    case array([DataNode])
    /// Fields in the order of their names' bytes.
    case object([Field])

    /// A named part of an object.
    package struct Field: Equatable, Sendable {
        package var name: [UInt8]
        package var value: DataNode

        package init(name: [UInt8], value: DataNode) { (self.name, self.value) = (name, value) }
    }

    package static func text(_ text: String) -> DataNode { .bytes(Array(text.utf8)) }

    package static func object(unordered fields: [Field]) -> DataNode {
        .object(fields.sorted { $0.name.lexicographicallyPrecedes($1.name) })
    }

    /// The JSON that Python's `json.dumps(value, ensure_ascii=True, sort_keys=True)` gives for the value, with byte
    /// strings as Latin-1 text. The digests in `expected.json` are those of this JSON.
    package var canonicalJSON: [UInt8] {
        var json: [UInt8] = []
        write(to: &json)
        return json
    }

    private func write(to json: inout [UInt8]) {
        switch self {
        case .null: json += "null".utf8
        case .integer(let value): json += String(value).utf8
        case .bytes(let bytes): Self.write(string: bytes, to: &json)
        case .array(let elements):
            json.append(UInt8(ascii: "["))
            for (index, element) in elements.enumerated() {
                if index > 0 { json += ", ".utf8 }
                element.write(to: &json)
            }
            json.append(UInt8(ascii: "]"))
        case .object(let fields):
            json.append(UInt8(ascii: "{"))
            for (index, field) in fields.enumerated() {
                if index > 0 { json += ", ".utf8 }
                Self.write(string: field.name, to: &json)
                json += ": ".utf8
                field.value.write(to: &json)
            }
            json.append(UInt8(ascii: "}"))
        }
    }

    private static func write(string: [UInt8], to json: inout [UInt8]) {
        json.append(UInt8(ascii: "\""))
        for byte in string { json += escapes[Int(byte)] }
        json.append(UInt8(ascii: "\""))
    }

    /// How each byte is written in a JSON string.
    private static let escapes: [[UInt8]] = (0...255).map { (byte: Int) -> [UInt8] in
        switch byte {
        case 0x08: return Array("\\b".utf8)
        case 0x09: return Array("\\t".utf8)
        case 0x0A: return Array("\\n".utf8)
        case 0x0C: return Array("\\f".utf8)
        case 0x0D: return Array("\\r".utf8)
        case 0x22: return Array("\\\"".utf8)
        case 0x5C: return Array("\\\\".utf8)
        case 0x20...0x7E: return [UInt8(byte)]
        default:
            let digits = String(byte, radix: 16)
            return Array("\\u\(String(repeating: "0", count: 4 - digits.count))\(digits)".utf8)
        }
    }
}

/// The text that Python's `repr` gives for `value`.
///
/// Both languages print the shortest digits that read back as the same number; they differ in where the exponent form
/// begins: Python at 1e16, Swift above 2^54 (and for round numbers earlier).
package func pythonRepresentation(_ value: Double) -> String {
    guard value.isFinite else { return value.isNaN ? "nan" : value < 0 ? "-inf" : "inf" }
    if value == 0 { return value.sign == .minus ? "-0.0" : "0.0" }

    // digits × 10^(point - digits.count): 0.00125 is "125", -2.
    let (mantissa, exponentText) = split(value.magnitude.description, at: "e")
    let (whole, fraction) = split(mantissa, at: ".")
    let padded = whole + fraction
    let leadingZeros = padded.prefix { $0 == "0" }.count
    var digits = String(padded.dropFirst(leadingZeros))
    let point = whole.count - leadingZeros + (Int(exponentText) ?? 0)
    while digits.count > 1, digits.last == "0" { digits.removeLast() }

    let sign = value < 0 ? "-" : ""
    if point > 16 || point < -3 {
        let exponent = point - 1
        let tail = digits.count > 1 ? ".\(digits.dropFirst())" : ""
        let exponentDigits = exponent.magnitude < 10 ? "0\(exponent.magnitude)" : "\(exponent.magnitude)"
        return "\(sign)\(digits.prefix(1))\(tail)e\(exponent < 0 ? "-" : "+")\(exponentDigits)"
    }
    if point <= 0 { return "\(sign)0.\(String(repeating: "0", count: -point))\(digits)" }
    if digits.count <= point {
        return "\(sign)\(digits)\(String(repeating: "0", count: point - digits.count)).0"
    }
    return "\(sign)\(digits.prefix(point)).\(digits.dropFirst(point))"
}

private func split(_ text: String, at separator: Character) -> (String, String) {
    guard let index = text.firstIndex(of: separator) else { return (text, "") }
    return (String(text[..<index]), String(text[text.index(after: index)...]))
}
