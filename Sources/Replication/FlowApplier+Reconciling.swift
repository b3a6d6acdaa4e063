import Link
import Redis

extension FlowApplier {
    /// Remembers from here on which keys the full sync brings; before `start`.
    ///
    /// - Throws: `SystemError` when there is no room for them.
    package func rememberKeys(in directory: String) throws {
        encoder.synced = try SyncedKeys(directory: directory)
    }

    package func forgetKeys() { encoder.synced = nil }

    /// Those of `keys` that this flow has not brought.
    package func notBrought(_ keys: [[UInt8]], database: UInt32) -> [[UInt8]] {
        guard let synced = encoder.synced, synced.failure == nil else { return [] }
        return keys.filter { synced.lacks($0, database: database) }
    }

    /// Why the keys could not all be remembered.
    var rememberingFailure: SystemError? { encoder.synced?.failure }

    package var databases: Set<UInt32> { encoder.databases }

    /// Waits until nothing is in flight, and keeps it so until `release`.
    package func hold() async {
        isHeld = true
        if link?.isIdle == true { return }
        await withCheckedContinuation { holdWaiters.append($0) }
    }

    package func release() {
        isHeld = false
        pump()
    }

    func finishHold() {
        switch state {
        case .failed, .closed: break
        default: guard isHeld, link?.isIdle == true else { return }
        }
        for waiter in holdWaiters { waiter.resume() }
        holdWaiters = []
    }
}
