import Wire

extension ByteReader {
    /// Reads `<prefix><decimal>\r\n` from text that df2redis has encoded.
    mutating func readDecimalLine(after prefix: UInt8) -> Int? {
        guard readUInt8() == prefix else { return nil }
        var value = 0
        while let byte = readUInt8(), byte != UInt8(ascii: "\r") { value = value * 10 + Int(byte) - 48 }
        return skip(1) ? value : nil
    }

    /// Reads the next argument of a command that df2redis has encoded; `nil` at the end.
    @_lifetime(copy self)
    mutating func readBulkArgument() -> RawSpan? {
        guard let count = readDecimalLine(after: UInt8(ascii: "$")), let bytes = readSpan(count), skip(2) else {
            return nil
        }
        return bytes
    }
}
