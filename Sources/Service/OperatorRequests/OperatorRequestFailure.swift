/// The reason why a command on a running task has not done what the operator asked for.
package struct OperatorRequestFailure: Error, CustomStringConvertible {
    package let description: String
    package let exitStatus: ExitStatus

    init(_ description: String, _ exitStatus: ExitStatus) {
        self.description = description
        self.exitStatus = exitStatus
    }

    init(_ error: any Error) {
        switch error {
        case let error as OperatorRequestFailure: self = error
        case let error as ControlClient.Failure: self.init(error.description, error.exitStatus)
        case is CancellationError: self.init("interrupted", .notDone)
        default: self.init("\(error)", .defect)
        }
    }

    static let restarted = OperatorRequestFailure(
        "the task has been restarted meanwhile: ask it again", .notDone)
}
