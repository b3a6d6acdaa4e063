import Wire

extension JournalCommand {
    /// Whether a `ZADD key score member ...` has a score that may be a rounded one: the source prints the scores that a
    /// Z*STORE has made with six digits and without trailing zeros (Protocol 5.4).
    ///
    /// A whole number of up to five digits is taken for exact.
    var mayHaveRoundedScores: Bool {
        for place in stride(from: 2, to: argumentCount - 1, by: 2) where argument(at: place).mayBeRounded {
            return true
        }
        return false
    }
}

extension RawSpan {
    private static let digits = UInt8(ascii: "0")...UInt8(ascii: "9")

    /// Whether this decimal number has a fraction, an exponent or six digits.
    fileprivate var mayBeRounded: Bool {
        var digits = 0
        for offset in 0..<byteCount {
            let byte = self[offset]
            if byte == UInt8(ascii: ".") || byte | 0x20 == UInt8(ascii: "e") { return true }
            if Self.digits.contains(byte) { digits += 1 }
        }
        return digits == 6
    }
}
