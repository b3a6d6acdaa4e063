import Dragonfly

/// One comparison of both sides. The keys that it finds to differ are read at the source.
@SessionActor
struct VerificationPass {
    private let task: TaskContext
    private let verifier: Verifier
    private let queue: RefreshQueue
    private let flows: SessionFlows
    private let removable: Set<UInt32>
    private let origin: RefreshOrigin

    /// - Parameters:
    ///   - removable: the databases in which a key is removed if only the target has it.
    ///   - origin: with `operatorRequest`, more keys are read per second while the findings wait.
    init(
        _ task: TaskContext, _ verifier: Verifier, _ queue: RefreshQueue, _ flows: SessionFlows, removable: Set<UInt32>,
        origin: RefreshOrigin
    ) {
        self.task = task
        self.verifier = verifier
        self.queue = queue
        self.flows = flows
        self.removable = removable
        self.origin = origin
    }

    func run(
        keysPerSecond: Int, onFinding: @escaping @Sendable (VerifierRecord.Disposition) -> Void,
        onProgress: @escaping @Sendable (Verifier.Progress) -> Void
    ) async throws(Verifier.Failure) {
        let placement = await flows.placement()
        let ask: @Sendable (Verifier.Finding, FlowID) -> Void = { [queue, origin] finding, flow in
            let admission = queue.ask(RefreshRequest(finding.key, flow: flow, origin: origin))
            if origin == .operatorRequest { queue.hurry(by: keysPerSecond) }
            onFinding(admission == .noRoom ? .leftOut : .asked)
        }
        let unplaced = UnplacedFindings(
            placement, task, flows, onPlaced: ask, onUnplaced: { onFinding(.unplaced) })
        do throws(Verifier.Failure) {
            // Cancelled and awaited at the end of this scope.
            async let _ = unplaced.run()
            try await verifier.pass(
                keysPerSecond,
                { [removable] finding in
                    guard !finding.isExtra || removable.contains(finding.key.database) else {
                        return onFinding(.foreign)
                    }
                    guard let flow = placement.flow(of: finding.key.key) else { return unplaced.add(finding) }
                    ask(finding, flow)
                }, onProgress)
        } catch {
            await unplaced.finish()
            throw error
        }
        await unplaced.finish()
    }
}
