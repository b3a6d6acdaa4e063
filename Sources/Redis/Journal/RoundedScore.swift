import Wire

extension JournalCommand {
    /// Whether a `ZADD key score member ...` has a score of six significant digits, as the source prints a longer one that a
    /// Z*STORE has made (Protocol 5.4).
    var mayHaveRoundedScores: Bool {
        for place in stride(from: 2, to: argumentCount - 1, by: 2) where argument(at: place).significantDigits == 6 {
            return true
        }
        return false
    }
}

extension RawSpan {
    /// The digits of a decimal number from the first that is not 0, without its exponent.
    fileprivate var significantDigits: Int {
        var count = 0
        for offset in 0..<byteCount {
            let byte = self[offset]
            if byte == UInt8(ascii: "e") || byte == UInt8(ascii: "E") { break }
            let isDigit = (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
            if isDigit, count > 0 || byte != UInt8(ascii: "0") { count += 1 }
        }
        return count
    }
}
