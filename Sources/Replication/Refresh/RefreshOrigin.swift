/// Why a key must be refreshed. The raw value is stored in the queue's file.
package enum RefreshOrigin: UInt8, Sendable, CaseIterable {
    /// A record, or the target's reply to it, shows that the key may differ.
    case stream = 0
    /// A comparison of both sides found a difference.
    case verification = 1
    /// An operator requested it.
    case operatorRequest = 2
    /// A stream that consumers read without a record. At a leave or a cut-over such streams are read before all other keys,
    /// and without a rate limit.
    case group = 3

    var isUrgent: Bool { self == .group }
}
