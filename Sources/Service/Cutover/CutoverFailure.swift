import Comparison
import Dragonfly
import Replication

/// Why a cut-over has not been made, and what became of the source and of the task.
package struct CutoverFailure: Error, CustomStringConvertible {
    package private(set) var description: String
    package let exitStatus: ExitStatus
    /// What would have helped, unless a server is why: said once that is known (`explain`).
    private(set) var advice: String?

    init(_ description: String, _ exitStatus: ExitStatus, advice: String? = nil) {
        self.description = description
        self.exitStatus = exitStatus
        self.advice = advice
    }

    init(_ error: any Error) {
        switch error {
        case let error as CutoverFailure: self = error
        case is CancellationError: self.init("interrupted", .notDone)
        case let error as ConfigurationError: self.init(error.description, error.exitStatus)
        case let error as ComparisonService.Failure: self.init(error.description, error.exitStatus)
        case let error as SourceError: self.init(error.description, ReplicationError(error).exitStatus)
        case let error as DemandFailure: self.init(error.description, error.exitStatus)
        case let error as ControlClient.Failure: self.init(error.description, error.exitStatus)
        default: self.init("\(error)", .defect)
        }
    }

    /// - Parameter faults: what is wrong with the servers; none: the advice is what there is to say.
    mutating func explain(by faults: [String]) {
        guard let advice else { return }
        description += ": \(faults.isEmpty ? advice : faults.joined(separator: "; "))"
        self.advice = nil
    }

    /// On a line of its own.
    mutating func add(_ text: String) { description += "\n\(text)" }
}
