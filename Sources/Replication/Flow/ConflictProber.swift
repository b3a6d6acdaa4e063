import Dragonfly
import Link
import Redis
import Wire

/// Asks the target which keys exist that a conflict policy protects (`ConflictStage`), on a connection of its own.
final class ConflictProber {
    private let context: FlowContext
    private let control: TargetControl

    init(_ flow: FlowID, context: FlowContext) {
        self.context = context
        control = TargetControl(connector: context.connector, role: "conflicts-\(flow)", replacesAny: true)
    }

    /// Asks again until the target answers or the task is cancelled.
    ///
    /// - Returns: those of `questions` that exist in the target.
    /// - Throws: `TargetError` if another attempt cannot help or the task is cancelled.
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
        var existing: [ConflictStage.Place] = []
        for place in questions where try await control.exists(place.key, in: place.database) {
            existing.append(place)
        }
        return existing
    }

    func close(isolation: isolated (any Actor)? = #isolation) async { await control.close() }
}
