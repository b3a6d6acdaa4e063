import Link
import Redis
import Wire

/// Asks the target for keys that a conflict policy protects (`ConflictGuard`).
extension FlowApplier {
    /// Protects the target's keys during the full sync; before `start`.
    ///
    /// - Throws: `SystemError` when there is no room for what has to be remembered.
    package func guardConflicts(in directory: String) throws {
        encoder.conflicts = try ConflictGuard(directory: directory)
    }

    func askAboutConflicts() {
        guard asking == nil, let questions = encoder.conflicts?.questions, !questions.isEmpty else { return }
        asking = Task { await self.ask(questions) }
    }

    private func ask(_ questions: [ConflictGuard.Place]) async {
        var attempt = 0
        while true {
            if hasEnded { return }
            do {
                let existing = try await existing(questions)
                return answered(existing)
            } catch {
                let reason = TargetError(error)
                await askingConnection?.close()
                askingConnection = nil
                guard reason.isTransient else { return fail(ReplicationError(reason, flow: flow)) }
                attempt += 1
                try? await Task.sleep(for: context.retry.wait(before: attempt))
            }
        }
    }

    private func existing(_ questions: [ConflictGuard.Place]) async throws -> [ConflictGuard.Place] {
        let connection: RequestConnection
        if let askingConnection {
            connection = askingConnection
        } else {
            connection = try await context.connector.connect(role: "conflicts-\(flow)", replacing: true)
            askingConnection = connection
        }
        var existing: [ConflictGuard.Place] = []
        for place in questions {
            for (name, argument) in [("SELECT", Array("\(place.database)".utf8)), ("EXISTS", place.key)] {
                let reply = try await connection.request(
                    [Array(name.utf8), argument], timeout: context.connector.settings.timeout)
                if case .error(let text) = reply { throw TargetError.reply(text, to: name) }
                if name == "EXISTS", reply.int != 0 { existing.append(place) }
            }
        }
        return existing
    }

    private func answered(_ existing: [ConflictGuard.Place]) {
        asking = nil
        var failure: ReplicationError?
        for place in existing {
            let label = CommandBatch.Label(
                name: "", key: printableKey(place.key.span.bytes), database: place.database)
            if let stop = judge.conflict(label), failure == nil { failure = stop }
        }
        if let failure { return fail(failure) }
        encoder.resumeAfterQuestions(existing: existing)
        pump()
    }
}
