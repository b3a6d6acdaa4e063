extension RawSpan {
    /// Whether the text is a HyperLogLog in its dense form: a header of 16 bytes, and 16384 registers of 6 bits.
    package var isDenseHyperLogLog: Bool { byteCount == 16 + 12_288 && startsWith("HYLL") && self[4] == 0 }
}

extension JournalCommand {
    /// Whether the command is a `SET key value` of such a HyperLogLog, which is what PFMERGE leaves in the journal.
    package var setsHyperLogLog: Bool {
        argumentCount == 3 && argumentBytes > 12_288 && name == "SET"
            && argument(at: 2).isDenseHyperLogLog
    }
}
