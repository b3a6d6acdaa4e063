package import Replication

/// The operations that a task offers to a client that may open its Unix socket.
package struct TaskControl: Sendable {
    /// How the task is to end.
    package struct Stop: Equatable, Sendable {
        /// Whether the task drains first; `false` if nothing is or will be on its way to the target.
        package var drains = true
        /// Whether clients write to the target from now on, so that the task must not start again by itself.
        package var isCutover = false

        package init(drains: Bool = true, isCutover: Bool = false) {
            self.drains = drains
            self.isCutover = isCutover
        }
    }

    /// Ends the task in the background; returns at once.
    ///
    /// - Returns: the reason why the task goes on; `nil` if it leaves.
    package var stop: @Sendable (Stop) -> String?
    /// The further requests; `nil` if there are none.
    package var operatorRequests: OperatorRequests?

    package init(operatorRequests: OperatorRequests? = nil, stop: @escaping @Sendable (Stop) -> String?) {
        self.operatorRequests = operatorRequests
        self.stop = stop
    }
}
