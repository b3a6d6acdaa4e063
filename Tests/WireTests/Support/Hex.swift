import Wire

/// The bytes of a hex text as Protocol 10 prints it: blanks, line ends and `|` are ignored, `"text"` means
/// its own bytes.
func hex(_ text: String) -> [UInt8] {
    var bytes: [UInt8] = []
    var high: UInt8?
    var isQuoted = false
    for byte in text.utf8 {
        if byte == UInt8(ascii: "\"") {
            isQuoted.toggle()
        } else if isQuoted {
            bytes.append(byte)
        } else if let digit = Character(UnicodeScalar(byte)).hexDigitValue.map(UInt8.init) {
            if let first = high {
                bytes.append(first << 4 | digit)
                high = nil
            } else {
                high = digit
            }
        } else {
            precondition(" \n|".utf8.contains(byte), "a hex text holds digits, blanks and bars")
        }
    }
    precondition(high == nil && !isQuoted, "a hex text ends with a whole byte")
    return bytes
}

extension RawSpan {
    /// A copy of the bytes.
    var array: [UInt8] { withUnsafeBytes { Array($0) } }

    /// The bytes as text.
    var text: String { String(decoding: array, as: UTF8.self) }
}

extension ByteBuffer {
    /// A copy of the readable bytes.
    var array: [UInt8] { bytes.array }
}

/// The bytes that `body` appends to an empty buffer.
func written(_ body: (inout ByteBuffer) -> Void) -> [UInt8] {
    var buffer = ByteBuffer()
    body(&buffer)
    return buffer.array
}
