package import Replication

/// What a task lets whoever may open its Unix socket do with it.
package struct TaskControl: Sendable {
    /// How it is to end.
    package struct Stop: Equatable, Sendable {
        /// `false`: nothing is on its way to the target, and nothing will be.
        package var drains = true
        /// From now on clients write to the target: the task is not to start again by itself.
        package var isCutover = false

        package init(drains: Bool = true, isCutover: Bool = false) {
            self.drains = drains
            self.isCutover = isCutover
        }
    }

    /// Ends the task, at once in the background.
    ///
    /// - Returns: why it goes on; `nil`: it leaves.
    package var stop: @Sendable (Stop) -> String?
    /// `nil`: nothing else can be asked for.
    package var demands: TaskDemands?

    package init(demands: TaskDemands? = nil, stop: @escaping @Sendable (Stop) -> String?) {
        self.demands = demands
        self.stop = stop
    }
}
