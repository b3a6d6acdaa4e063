import Dispatch
import Link
import Logging
import Redis

/// The connection to the target: made, lost, made again.
extension FlowApplier {
    /// - Parameter replacing: a connection before this one may have left a transaction in the target's socket.
    func connect(replacing: Bool = false) async throws {
        let connection = try await context.connector.connect(role: "flow-\(flow)", replacing: replacing)
        let descriptor = try await connection.detach().descriptor
        let link = TransactionLink(
            descriptor: descriptor, peer: context.connector.settings.endpoint.description, queue: executor.queue,
            onOutcome: { [weak self] batch, outcome in
                self?.assumeIsolated { $0.settled(batch, outcome) }
            },
            onLost: { [weak self] error in
                self?.assumeIsolated { $0.lost(error) }
            })
        link.start(
            readable: { [weak self] in self?.assumeIsolated { $0.link?.socketIsReadable() } },
            progress: { [weak self] in self?.assumeIsolated { $0.pump() } })
        self.link = link
    }

    func lost(_ error: TargetError) {
        // While it reconnects nothing is in flight, and the loop looks at the link itself.
        if case .reconnecting = state { return }
        if hasEnded { return }
        let batch = link?.batch
        if let batch, !batch.isRetained || !batch.isSealed { return lost(error, inLongCommandOf: batch) }
        if error.code == .protocolViolation { return fail(.init(error, flow: flow)) }
        loss = error
        if batch == nil, error.lastWords == nil {
            // A target may close connections that have been idle for a while.
            context.logger.debug("\(error), with nothing on its way: connecting again", metadata: ["flow": "\(flow)"])
        } else {
            reportLoss(error)
        }
        reconnect(with: batch)
    }

    /// A loss is reported once, until the target has been found again.
    func reportLoss(_ error: TargetError) {
        if !didReportLoss { onEvent(.targetLost(flow, error)) }
        didReportLoss = true
    }

    func reportFound() {
        if didReportLoss { onEvent(.targetFound(flow)) }
        didReportLoss = false
    }

    /// Connects again, finds out what became of `batch`, sends it again if it was not applied, and goes on.
    func reconnect(with batch: CommandBatch?) {
        dropLink()
        orphan = batch
        stateBehindReconnect = state
        state = .reconnecting
        reconnecting = Task { await self.reconnectLoop() }
    }

    private func dropLink() {
        link?.close()
        lostLink = link  // its callbacks may still be on the stack
        link = nil
    }

    private func reconnectLoop() async {
        let isFirstToBeAtOnce = !didReportLoss
        let first = max(refusals, parts?.trial.losses ?? 0) + 1
        var attempt = first - 1
        while case .reconnecting = state {
            attempt += 1
            if !isFirstToBeAtOnce || attempt > first {
                try? await Task.sleep(for: context.retry.wait(before: attempt))
            }
            guard case .reconnecting = state else { return }
            do {
                try await connect(replacing: true)
                // A global command may be applied meanwhile; if its checkpoint is not the confirmed one, we begin again there.
                let stored = try await found()
                guard case .reconnecting = state else { return dropLink() }
                guard link?.hasFailed == false else {
                    throw TargetError(.unreachable, "the target closed the connection")
                }
                return try settleOrphan(stored, isAtFirstAttempt: attempt == first)
            } catch let error as ReplicationError {
                return fail(error)
            } catch {
                let reason = TargetError(error)
                guard reason.isTransient else { return fail(ReplicationError(reason, flow: flow)) }
                reportLoss(reason)
                context.logger.debug("the target is still away: \(reason)", metadata: ["flow": "\(flow)"])
                dropLink()
            }
        }
    }
}
