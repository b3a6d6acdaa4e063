import Wire

extension ByteReader {
    /// `<prefix><decimal>\r\n` of our own making.
    mutating func readDecimalLine(after prefix: UInt8) -> Int? {
        guard readUInt8() == prefix else { return nil }
        var value = 0
        while let byte = readUInt8(), byte != UInt8(ascii: "\r") { value = value * 10 + Int(byte) - 48 }
        return skip(1) ? value : nil
    }

    /// The next argument of a command of our own making; `nil` at the end.
    @_lifetime(copy self)
    mutating func readBulkArgument() -> RawSpan? {
        guard let count = readDecimalLine(after: UInt8(ascii: "$")), let bytes = readSpan(count), skip(2) else {
            return nil
        }
        return bytes
    }
}
