/// A `WireError` with its place in a flow: what an operator needs to report it and a developer to find it.
package struct FlowDecodingError: Error, Equatable, Sendable, CustomStringConvertible {
    package let cause: WireError
    /// Bytes of the flow before the unit at fault (of the blob's head, when it is inside a compressed blob).
    package let flowOffset: UInt64
    package let isInsideBlob: Bool
    package let database: UInt32
    /// The last key that was read, printable and shortened; empty when there was none.
    package let lastKey: String

    package var description: String {
        let place =
            isInsideBlob
            ? "inside the compressed blob at byte \(flowOffset) of the flow" : "at byte \(flowOffset) of the flow"
        let key = lastKey.isEmpty ? "" : ", last key \(lastKey)"
        return "\(cause), \(place), database \(database)\(key)"
    }
}

/// Key names in messages: printable ASCII as it is, the rest as `\xNN`, at most 128 bytes of it, in quotes.
package func printableKey(_ key: RawSpan) -> String {
    let limit = 128
    var text = "\""
    key.withUnsafeBytes { bytes in
        for byte in bytes.prefix(limit) {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                text += "\\"
                text.unicodeScalars.append(Unicode.Scalar(byte))
            case 0x20..<0x7F: text.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                let hex = String(byte, radix: 16)
                text += hex.count == 1 ? "\\x0\(hex)" : "\\x\(hex)"
            }
        }
    }
    return key.byteCount > limit ? "\(text)\"... (\(key.byteCount) bytes)" : text + "\""
}
