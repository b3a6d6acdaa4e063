import Link
import Redis

extension FlowApplier {
    /// Remembers from here on which keys the full sync brings; before `start`.
    ///
    /// - Throws: `SystemError` when there is no room for them.
    ///
    /// - Parameter isEssential: the full sync removes all others at its end.
    package func rememberKeys(in directory: String, isEssential: Bool = true) throws {
        encoder.synced = try SyncedKeys(directory: directory, isEssential: isEssential)
    }

    /// Those of `keys` that this flow has not brought.
    package func notBrought(_ keys: [[UInt8]], database: UInt32) -> [[UInt8]] {
        // Where not all of them could be remembered, none may be removed.
        guard let synced = encoder.synced, synced.failure == nil else { return [] }
        return keys.filter { synced.lacks($0, database: database) }
    }

    package var databases: Set<UInt32> { encoder.databases }

    /// Waits until nothing is in flight, and keeps it so until `release`.
    package func hold() async {
        isHeld = true
        if isStill { return }
        await withCheckedContinuation { holdWaiters.append($0) }
    }

    package func release() {
        isHeld = false
        pump()
    }

    /// Nothing is sent any more.
    var hasEnded: Bool {
        switch state {
        case .failed, .closed: true
        case .running, .atGlobal, .reconnecting: false
        }
    }

    /// Nothing is in flight, or nothing will be sent ever more.
    private var isStill: Bool {
        switch state {
        case .failed, .closed: true
        case .running, .atGlobal, .reconnecting: link?.isIdle == true
        }
    }

    func finishHold() {
        guard isHeld, isStill else { return }
        for waiter in holdWaiters { waiter.resume() }
        holdWaiters = []
    }
}
