/// Whether the operator has asked to leave, and whether a second request has made it urgent.
@SessionActor
final class LeaveRequest {
    private(set) var isMade = false
    /// A second request was made, which cuts the drain short.
    private(set) var isHurried = false
    /// Clients write to the target from now on.
    private(set) var isCutover = false
    /// `false` if everything that the source has sent is applied and the source sends nothing more.
    private var drains = true
    private var cancelWork: (() -> Void)?
    private let drainSleep = InterruptibleSleep()

    func make(drains: Bool = true, isCutover: Bool = false) {
        isHurried = isMade
        isMade = true
        self.drains = self.drains && drains
        self.isCutover = self.isCutover || isCutover
        cancelWork?()
        if isHurried { drainSleep.end() }
    }

    /// There is no drain, because nothing is on its way or because a second request cut it short.
    var isWithoutDrain: Bool { isHurried || !drains }

    /// Runs `work` until it ends. A request to leave, even one made before, and the caller's cancellation cancel `work`.
    func run<Result: Sendable>(
        _ work: @escaping @SessionActor @Sendable () async throws -> Result
    ) async throws -> Result {
        // This call owns the task and waits for it.
        let task = Task { try await work() }
        cancelWork = { task.cancel() }
        defer { cancelWork = nil }
        if isMade { task.cancel() }
        return try await withTaskCancellationHandler {
            try await task.value
        } onCancel: {
            task.cancel()
        }
    }

    /// Waits for the drain of a leave.
    ///
    /// - Returns: `false` if there is no drain, because the leave is urgent or nothing is on its way.
    func drain(for time: Duration) async -> Bool {
        if isWithoutDrain { return false }
        await drainSleep.sleep(for: time)
        return true
    }
}
