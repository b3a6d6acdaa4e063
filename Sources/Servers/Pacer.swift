/// Limits the number of commands a second that go to a server, over all connections to it.
package actor Pacer {
    private let interval: Duration
    private var next = ContinuousClock.now

    package init(commandsPerSecond: Int) { interval = .seconds(1) / commandsPerSecond }

    /// Waits until `count` commands may be sent.
    func take(_ count: Int) async throws {
        let start = max(next, .now)
        next = start + interval * count
        if start > .now { try await Task.sleep(until: start, clock: .continuous) }
    }
}
