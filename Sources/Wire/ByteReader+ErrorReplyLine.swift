extension ByteReader {
    /// Reads an error reply in place of a flow's next unit: `-`, printable text, CR LF.
    ///
    /// - Returns: the text; `nil`, without moving, if the end of the line has not arrived.
    /// - Throws: `unsupported`, as for any other unknown opcode, if it is not such a line.
    @_lifetime(copy self)
    mutating func readErrorReply(insteadOf phase: FlowDecoder.Phase) throws(WireError) -> RawSpan? {
        let refusal = WireError.unsupported(
            phase == .journal ? "journal opcode" : "snapshot opcode", code: UInt64(UInt8(ascii: "-")), offset: offset)
        var line = self
        _ = line.skip(1)
        while let byte = line.readUInt8() {
            let count = line.offset - offset - 2
            if byte == UInt8(ascii: "\r") {
                guard let end = line.readUInt8() else { return nil }
                guard end == UInt8(ascii: "\n"), count > 0 else { throw refusal }
                _ = skip(1)
                let text = readSpan(count)
                _ = skip(2)
                return text
            }
            guard (0x20..<0x7F).contains(byte), count < Limits.flowErrorBytes else { throw refusal }
        }
        return nil
    }
}
