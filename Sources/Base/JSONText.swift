/// Encodes text in JSON.
///
/// Foundation's `JSONEncoder` is not used: people read the lines of the log and of the dead-letter file, too, and need the
/// fields in a fixed order. These lines are also written where a failure to encode could not be reported.
package enum JSONText {
    /// A JSON object with its fields in this order; each value is JSON already.
    package static func object(_ fields: [(String, String)]) -> String {
        "{" + fields.map { "\(quoted($0.0)):\($0.1)" }.joined(separator: ",") + "}"
    }

    /// A JSON array; each element is JSON already.
    package static func array(_ elements: [String]) -> String { "[\(elements.joined(separator: ","))]" }

    /// `text` as a JSON string, quotes included. Control characters are escaped, those of ISO 8859 too.
    package static func quoted(_ text: String) -> String {
        var string = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": string += "\\\""
            case "\\": string += "\\\\"
            case "\n": string += "\\n"
            case "\r": string += "\\r"
            case "\t": string += "\\t"
            case _ where scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value):
                let digits = String(scalar.value, radix: 16)
                string += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: string.unicodeScalars.append(scalar)
            }
        }
        return string + "\""
    }
}
