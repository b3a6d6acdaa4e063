/// Whether the task is healthy, or ready; if not, the reason for programs and for people.
package enum Health: Equatable, Sendable {
    case good
    case bad(Code, String)

    package enum Code: String, Sendable, CaseIterable {
        /// The coordinator does not run.
        case noBeat = "no-beat"
        /// A part that moves data does not run.
        case hanging
        /// The source cannot be reached, or refuses.
        case sourceLost = "source-lost"
        /// Not in the stable phase.
        case notStable = "not-stable"
        /// The target does not serve.
        case targetLost = "target-lost"
        /// The lag is not under `log.lagHighSeconds`.
        case lagHigh = "lag-high"

        package var meaning: String {
            switch self {
            case .noBeat: "the daemon's coordinator has given no sign of life for ten seconds"
            case .hanging:
                "a flow's reader or applier, or the coordinator, does not run; the watchdog restarts the task"
            case .sourceLost: "the source cannot be reached, or refuses; it is tried again"
            case .notStable: "the full sync is not over, or the task is connecting, waiting or leaving"
            case .targetLost: "the target does not serve; what arrives is kept meanwhile"
            case .lagHigh: "the lag is not under log.lagHighSeconds"
            }
        }
    }

    package var isGood: Bool { self == .good }
}
