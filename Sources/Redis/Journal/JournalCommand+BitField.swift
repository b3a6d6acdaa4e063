import Wire

extension JournalCommand {
    /// Whether this `BITFIELD` subtracts from an unsigned number with `OVERFLOW SAT`. If the result is below 0, the source
    /// stores the highest number, and a Redis stores 0.
    var saturatesBelowZero: Bool {
        var isSaturating = false
        var operations = arguments
        for _ in 0..<2 { _ = operations.next() }
        while let operation = operations.next(), let second = operations.next() {
            if operation.isWord("OVERFLOW") {
                isSaturating = second.isWord("SAT")
                continue
            }
            // Skips the offset.
            _ = operations.next()
            if operation.isWord("GET") { continue }
            guard let number = operations.next() else { return false }
            if isSaturating, operation.isWord("INCRBY"), second.begins(with: "u", "U"), number.begins(with: "-", "-") {
                return true
            }
        }
        return false
    }
}

extension RawSpan {
    fileprivate func begins(with lower: Unicode.Scalar, _ upper: Unicode.Scalar) -> Bool {
        byteCount > 0 && (self[0] == UInt8(ascii: lower) || self[0] == UInt8(ascii: upper))
    }
}
