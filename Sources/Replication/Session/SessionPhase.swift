/// The steps of opening a session, numbered as in `SessionOpening.run`.
package enum OpeningStep: Int, CaseIterable, Sendable, CustomStringConvertible {
    case claimTask = 1
    case learnTarget
    case decideResume
    case handshake
    case prepareTarget
    case buildFlows
    case beginSync

    package var description: String {
        switch self {
        case .claimTask: "claiming the task"
        case .learnTarget: "learning the target"
        case .decideResume: "deciding whether to resume"
        case .handshake: "the handshake with the source"
        case .prepareTarget: "preparing the target"
        case .buildFlows: "building the flows"
        case .beginSync: "beginning the sync"
        }
    }

    /// The step's place and name, for example `step 4 of 7, the handshake with the source`.
    var place: String { "step \(rawValue) of \(Self.allCases.count), \(self)" }
}

/// The phase of a session in which an error came up.
package enum SessionPhase: Equatable, Sendable, CustomStringConvertible {
    case opening(OpeningStep)
    case fullSync
    case stable
    /// The session applies what it received before the room ran out.
    case catchingUp
    case leaving

    /// The value of a log line's field `failedPhase`, for example `opening 4`.
    package var name: String {
        switch self {
        case .opening(let step): "opening \(step.rawValue)"
        case .fullSync: "full sync"
        case .stable: "stable"
        case .catchingUp: "catching up"
        case .leaving: "leaving"
        }
    }

    package var description: String {
        switch self {
        case .opening(let step): "opening the session, \(step.place)"
        case .fullSync: "in the full sync"
        case .stable: "in the stable phase"
        case .catchingUp: "applying what was received"
        case .leaving: "leaving"
        }
    }
}
