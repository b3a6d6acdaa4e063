import Dispatch
import Link
import Redis

/// The clock of the elements' TTLs that the target cannot keep: once a second what is due goes, and never ahead of the
/// stream, since a command that waits to be applied may have extended a TTL in time.
extension FlowApplier {
    func sweepEachSecond() {
        guard encoder.book != nil else { return }
        executor.queue.asyncAfter(deadline: .now() + 1) { [weak self] in
            self?.assumeIsolated { applier in
                switch applier.state {
                case .failed, .closed: return
                case .running: applier.sweep()
                case .atGlobal, .reconnecting: break
                }
                applier.sweepEachSecond()
            }
        }
    }

    func sweep() {
        let time = (feed.oldestWaiting ?? context.clock()) + context.clockSkew
        encoder.sweepElements(
            until: time - ElementExpiry.transitMilliseconds - ElementExpiry.marginMilliseconds)
        pump()
    }

    /// The last sweep has left some: at once again.
    func sweepRest() {
        guard encoder.wantsSweep else { return }
        encoder.wantsSweep = false
        sweep()
    }

    /// Keys that an earlier session has left with such TTLs; before `start`.
    package func noteElementExpiries(of keys: [[UInt8]], database: UInt32) {
        for key in keys { encoder.book?.note(key.span.bytes, database: database) }
    }

    package var hasElementExpiries: Bool { encoder.book?.isEmpty == false }
}
