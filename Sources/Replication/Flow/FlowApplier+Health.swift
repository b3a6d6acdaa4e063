import Dispatch
import Dragonfly
import Redis

extension FlowApplier {
    /// Whether the applier gets its turn; and, in it, how long the target has been silent.
    ///
    /// An applier that waits for its target has not hung: its queue answers. Nor is the connection given up because the
    /// target is silent: what it has received it may still execute, later than what another connection brings.
    package nonisolated var probe: QueueProbe {
        QueueProbe("the applier of flow \(flow)", queue: queue) { [weak self] in
            self?.assumeIsolated { $0.noteSilence() }
        }
    }

    private func noteSilence() {
        let silence = link?.silence ?? .zero
        context.progress(flow).target(silentFor: silence)
        if silence >= context.silenceLimit, !hasToldSilence {
            hasToldSilence = true
            let peer = context.connector.settings.endpoint
            onEvent(
                .targetLost(
                    flow,
                    TargetError(.notReady, "the target \(peer) has been silent for \(silence.components.seconds) s")))
        } else if silence < context.silenceLimit, hasToldSilence, link != nil {
            hasToldSilence = false
            onEvent(.targetFound(flow))
        }
    }
}
