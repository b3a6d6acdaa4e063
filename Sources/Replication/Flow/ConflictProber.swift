import Dragonfly
import Link
import Redis
import Wire

/// Asks the target for keys that a conflict policy protects (`ConflictStage`), on a connection of its own.
final class ConflictProber {
    private let flow: FlowID
    private let context: FlowContext
    private var connection: RequestConnection?

    init(_ flow: FlowID, context: FlowContext) {
        self.flow = flow
        self.context = context
    }

    /// Asks until the target answers, or the task is cancelled.
    ///
    /// - Returns: those of `questions` that the target has.
    /// - Throws: `TargetError`, when no other attempt mends it.
    func existing(
        _ questions: [ConflictStage.Place], isolation: isolated (any Actor)? = #isolation
    ) async throws -> [ConflictStage.Place] {
        var attempt = 0
        while true {
            do { return try await ask(questions) } catch {
                let reason = TargetError(error)
                await close()
                guard reason.isTransient, !Task.isCancelled else { throw reason }
                attempt += 1
                try? await Task.sleep(for: context.retry.wait(before: attempt))
            }
        }
    }

    private func ask(
        _ questions: [ConflictStage.Place], isolation: isolated (any Actor)? = #isolation
    ) async throws -> [ConflictStage.Place] {
        let connection: RequestConnection
        if let open = self.connection {
            connection = open
        } else {
            connection = try await context.connector.connect(role: "conflicts-\(flow)", replacing: true)
            self.connection = connection
        }
        var existing: [ConflictStage.Place] = []
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

    func close(isolation: isolated (any Actor)? = #isolation) async {
        let open = connection
        connection = nil
        await open?.close()
    }
}
