/// Whether the operator has asked to leave: once, or again because it is urgent.
@SessionActor
final class LeaveRequest {
    private(set) var isMade = false
    /// It was made twice: the drain is cut short.
    private(set) var isHurried = false
    /// Clients write to the target from now on.
    private(set) var isCutover = false
    /// `false`: everything that the source has sent is applied, and it sends nothing more.
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

    /// A drain has been left out, since nothing is on its way; or it is cut short.
    var isWithoutDrain: Bool { isHurried || !drains }

    /// Runs `work` until it has ended; a request to leave, an earlier one too, or the caller's cancellation cancels it.
    func run<Result: Sendable>(
        _ work: @escaping @SessionActor @Sendable () async throws -> Result
    ) async throws -> Result {
        // Owned by this call, which waits for it.
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

    /// The drain of a leave.
    ///
    /// - Returns: `false` when it is left out: for the hurry, or because nothing is on its way.
    func drain(for time: Duration) async -> Bool {
        if isWithoutDrain { return false }
        await drainSleep.sleep(for: time)
        return true
    }
}
