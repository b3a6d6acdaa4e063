import Comparison
import Dragonfly
import Replication

/// The reason why a cut-over was not made, and what happened to the source and the task.
package struct CutoverFailure: Error, CustomStringConvertible {
    package private(set) var description: String
    package let exitStatus: ExitStatus
    /// A hint that helps unless a server is the cause; `explain` adds it to the description once that is known.
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
        case let error as OperatorRequestFailure: self.init(error.description, error.exitStatus)
        case let error as ControlClient.Failure: self.init(error.description, error.exitStatus)
        default: self.init("\(error)", .defect)
        }
    }

    /// - Parameter faults: the faults of the servers; if empty, the advice is added instead.
    mutating func explain(by faults: [String]) {
        guard let advice else { return }
        description += ": \(faults.isEmpty ? advice : faults.joined(separator: "; "))"
        self.advice = nil
    }

    /// Adds a line of its own.
    mutating func add(_ text: String) { description += "\n\(text)" }
}
