import Dispatch
import Link
import Redis

/// The end: what was received is applied, then the connection closed.
extension FlowApplier {
    /// Nothing waits to be applied and nothing is in flight; or nothing more can be applied.
    private var isDrained: Bool {
        switch state {
        case .failed, .closed: true
        case .reconnecting, .atGlobal: false
        case .running:
            link?.isIdle == true && !hasSomethingToSend && feed.isEmpty
        }
    }

    /// Something received can still be applied: now, or when the target is back.
    package var hasMore: Bool {
        switch state {
        case .running: !isDrained
        case .reconnecting, .atGlobal(_, _, told: false): true
        // The others may never come to the command where this one waits.
        case .atGlobal, .failed, .closed: false
        }
    }

    func finishDrainIfDone() {
        guard !drainWaiters.isEmpty, isDrained else { return }
        releaseDrainWaiters()
    }

    private func releaseDrainWaiters() {
        for waiter in drainWaiters { waiter.resume() }
        drainWaiters = []
    }

    /// Waits until everything received has been applied, or until `limit` has passed.
    ///
    /// - Returns: `true` when it has been applied.
    package func drain(within limit: Duration) async -> Bool {
        pump()
        if isDrained { return isApplied }
        executor.queue.asyncAfter(deadline: .now() + limit.secondsAsDouble) { [weak self] in
            self?.assumeIsolated { $0.releaseDrainWaiters() }
        }
        await withCheckedContinuation { drainWaiters.append($0) }
        return isApplied
    }

    /// As `isDrained`, and nothing was given up.
    private var isApplied: Bool {
        switch state {
        case .running: isDrained
        case .atGlobal, .reconnecting, .failed, .closed: false
        }
    }

    /// Keys of our own that an unfinished value has left in the target.
    package var partialKeys: [(database: UInt32, key: [UInt8])] { encoder.partialKeys }

    package var snapshotCounts: (expired: Int, conflicts: Int) { (encoder.expiredKeys, encoder.conflictingKeys) }

    package func close() async {
        state = .closed
        encoder.expiry?.book.close()
        link?.close()
        link = nil
        lostLink = nil
        releaseDrainWaiters()
        finishHold()
        // What they may still send would meet the next session, or a target that has been left.
        reconnecting?.cancel()
        asking?.cancel()
        await reconnecting?.value
        await asking?.value
        await askingConnection?.close()
    }
}
