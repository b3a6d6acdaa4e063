/// A command that concerns every flow; all flows meet at a barrier for it (Protocol 5.2).
package enum GlobalCommand: Equatable, Sendable {
    case flushAll
    case flushDatabase(UInt32)
    /// Inclusive ranges of slots.
    case flushSlots([ClosedRange<UInt16>])

    package var name: String {
        switch self {
        case .flushAll: "FLUSHALL"
        case .flushDatabase(let database): "FLUSHDB (database \(database))"
        case .flushSlots: "DFLYCLUSTER FLUSHSLOTS"
        }
    }
}
