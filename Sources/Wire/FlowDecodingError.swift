/// A `WireError` with its place in a flow: what an operator needs to report it and a developer to find it.
package struct FlowDecodingError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What is wrong; its offset is that of the flow, or of the content when it is inside a compressed blob.
    package let cause: WireError
    /// Bytes of the flow before the unit at fault (before the blob, when it is inside a compressed blob).
    package let flowOffset: UInt64
    package let isInsideBlob: Bool
    /// The database of the last key, or the one that was selected before any key.
    package let database: UInt32
    /// The last key that was read, printable and shortened; empty when there was none.
    package let lastKey: String

    package var description: String {
        let place = isInsideBlob ? "byte \(cause.offset) of the compressed blob at byte" : "byte"
        let key = lastKey.isEmpty ? "" : ", last key \(lastKey)"
        return "\(cause.reason), at \(place) \(flowOffset) of the flow, database \(database)\(key)"
    }
}

/// Formats a key for messages, in quotes: printable ASCII as it is, other bytes as `\xNN`, at most the first 128 bytes.
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
