/// The events that an operator searches the journal for, each with its `MESSAGE_ID`.
///
/// A log statement names its event by metadata: `["event": "stable"]`. The journal handler adds the id, and
/// `journalctl -x` shows the explanation that `df2redis.catalog` has for it. An id, once released, stays for ever: people
/// write alerts with it (`journalctl MESSAGE_ID=...`).
package enum EventID: String, CaseIterable, Sendable {
    /// The daemon runs, its configuration is valid.
    case started
    /// The source has begun to send its data set.
    case fullSyncBegun
    /// The data set has arrived at the target.
    case fullSyncDone
    /// Changes are followed as they happen.
    case stable
    /// A full sync must be done again; the message says why.
    case resync
    /// The lag is higher than it should be.
    case lagHigh
    /// The lag is no longer higher than it should be.
    case lagNormal
    /// The connection to the source is gone.
    case sourceLost
    /// The target cannot be reached or does not serve.
    case targetLost
    /// There is no room left for data that the target has not taken, so the task leaves the source.
    case overflow
    /// Sentinels name another server as the target.
    case targetMoved
    /// The daemon has begun to leave the source.
    case leaving
    /// The task has left the source; the message says how.
    case left
    /// Clients write to the target from now on, so the task leaves and does not start again.
    case cutOver
    /// The task ends because something could not be applied and the policy says stop.
    case policyStop
    /// The monitor has found a problem at the source.
    case alertRaised
    /// A problem that the monitor has found is over.
    case alertCleared
    /// Source and target differ in a key, which the stream cannot mend.
    case divergence

    /// The value of the journal's field `MESSAGE_ID`: 128 bits in hexadecimal.
    package var messageID: String {
        switch self {
        case .started: "5506717501e7484a9c6f44b0c29cdb06"
        case .fullSyncBegun: "82fdb3b931c34581a4ef2a80e844eab0"
        case .fullSyncDone: "ba5fe2fbe02c4ec78f25da71e64defe0"
        case .stable: "9c8f5ef60deb4903aaf01572d977db36"
        case .resync: "f2f5ca53893f44ad8447ee057ac260bd"
        case .lagHigh: "0b466420a6764175803f5bdf2f3e7f69"
        case .lagNormal: "8d1c7f0a5b7e4f3e9a60d2c94be1f7a3"
        case .sourceLost: "6e5ff1dec5224dd094f120827dac40cb"
        case .targetLost: "3e31885b0ad04eab936b96183d1aa7d4"
        case .overflow: "4f1c86d07a9b4e2d8e35b7c1096af4d2"
        case .targetMoved: "3cab371cedb0437998a6448188853a8c"
        case .leaving: "5e4c030834de425fb2c61f4eaaf2b117"
        case .left: "f29994321cb0416492926a8184e22aa7"
        case .cutOver: "9a4d1c7be2f04b6d8c35e0a7f1926b58"
        case .policyStop: "d327dbd457c147b08edaf7ad37fc42ed"
        case .alertRaised: "c1b3a5f0e2d74f4b9a1d5c8e60f7b392"
        case .alertCleared: "7d0e9c42b8f14a6fa35c2b9e41d806c7"
        case .divergence: "b8aca08dbc114bbf9fdbe94fa44982e3"
        }
    }
}
