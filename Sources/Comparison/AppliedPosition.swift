import Servers
import Wire

/// Waits until the target has what the source has journaled so far, as far as this is known.
///
/// The source reports the next LSN of each shard (Protocol 2.8). The task's checkpoint in the target shows how far each flow
/// has been applied. If one of them is not known (no task runs, the position is kept in a file, or the user may not ask),
/// the wait lasts a fixed time.
struct AppliedPosition: Sendable {
    private static let pause = Duration.milliseconds(50)
    /// The longest wait. If the lag lasts longer, so do the differences that it causes.
    private static let longest = Duration.seconds(60)

    let source: ServerConnection
    let target: ServerConnection
    let checkpointKey: String
    let settle: Duration

    func wait() async throws(ServerError) {
        do {
            try await Task.sleep(for: .milliseconds(200))
            guard let offsets = try await offsets(), var applied = try await positions(offsets.count) else {
                return try await Task.sleep(for: settle)
            }
            let start = ContinuousClock.now
            var lastMove = start
            while zip(offsets, applied).contains(where: { $0 > $1 }) {
                // A task that was stopped or killed does not move its checkpoint.
                if lastMove.duration(to: .now) > settle || start.duration(to: .now) > Self.longest { return }
                try await Task.sleep(for: Self.pause)
                guard let next = try await positions(offsets.count) else { return }
                if next != applied { lastMove = .now }
                applied = next
            }
        } catch let error as ServerError {
            throw error
        } catch {
            throw .cancelled
        }
    }

    /// The next LSN of each shard; `nil` if the source does not report it.
    private func offsets() async throws(ServerError) -> [UInt64]? {
        guard let reply = try await source.requests([command("DFLY", "REPLICAOFFSET")])[0].array else { return nil }
        let offsets = reply.compactMap { $0.int.map { UInt64(clamping: $0) } }
        return offsets.isEmpty ? nil : offsets
    }

    /// The next LSN that each flow has to apply; `nil` unless the checkpoint has one for each flow.
    private func positions(_ count: Int) async throws(ServerError) -> [UInt64]? {
        let replies = try await target.requests([
            command("SELECT", "0"),
            command("HMGET", checkpointKey) + (0..<count).map { Array("flow:\($0)".utf8) },
        ])
        let positions = (replies[1].array ?? []).compactMap { field -> UInt64? in
            // stable <replication id> <number of flows> <next LSN>
            let words = field.text?.split(separator: " ") ?? []
            return words.count == 4 && words[0] == "stable" ? UInt64(words[3]) : nil
        }
        return positions.count == count ? positions : nil
    }
}
