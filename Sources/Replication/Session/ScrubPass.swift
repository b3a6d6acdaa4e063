import Dragonfly

/// One comparison of both sides, whose findings are read at the source.
@SessionActor
struct ScrubPass {
    private let scrub: Scrub
    private let queue: RefreshQueue
    private let flows: SessionFlows
    private let removable: Set<UInt32>
    private let origin: RefreshOrigin

    /// - Parameters:
    ///   - removable: databases in which a key goes that only the target has.
    ///   - origin: `demand`: while what it finds waits, more is read in a second.
    init(
        _ scrub: Scrub, _ queue: RefreshQueue, _ flows: SessionFlows, removable: Set<UInt32>, origin: RefreshOrigin
    ) {
        self.scrub = scrub
        self.queue = queue
        self.flows = flows
        self.removable = removable
        self.origin = origin
    }

    func run(
        keysPerSecond: Int, onFinding: @escaping @Sendable (ScrubRecord.Fate) -> Void,
        onProgress: @escaping @Sendable (Scrub.Progress) -> Void
    ) async throws(Scrub.Failure) {
        let placement = await flows.placement()
        try await scrub.pass(
            keysPerSecond,
            { [queue, removable, origin] finding in
                guard !finding.isExtra || removable.contains(finding.key.database) else { return onFinding(.foreign) }
                guard let flow = placement.flow(of: finding.key.key) else { return onFinding(.unplaced) }
                let admission = queue.ask(RefreshRequest(finding.key, flow: flow, origin: origin))
                if origin == .demand { queue.hurry(by: keysPerSecond) }
                onFinding(admission == .noRoom ? .leftOut : .asked)
            }, onProgress)
    }
}
