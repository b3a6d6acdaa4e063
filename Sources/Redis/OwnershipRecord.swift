import Link
import Wire

/// The key of the target that names the process which runs a task.
///
/// ```
/// <the checkpoint's key>:owner   string with a TTL   <instance> <host> <pid> <machine> <start>
/// ```
/// Its owner renews the TTL; the target's own clock ends it. Every connection of the task reads the key before it is used,
/// and is closed when it names another process.
package struct OwnershipRecord: Equatable, Sendable {
    package static let suffix = ":owner"
    /// How long a record lasts that nobody renews.
    package static let lifetime = Duration.seconds(15)

    package let key: String
    /// The value, of five words.
    package let text: String

    package init(checkpoint: String, text: String) {
        key = checkpoint + Self.suffix
        self.text = text
    }

    /// `SET key text PX lifetime`
    var command: [String] { ["SET", key, text, "PX", "\(Self.lifetime.milliseconds)"] }

    /// Whose process a record's text names, in words for a DBA.
    package static func description(of text: String) -> String {
        let words = text.split(separator: " ")
        guard words.count >= 3 else { return "an unknown process" }
        return "process \(words[2]) on host \(words[1])"
    }

    /// - Parameter found: what the key holds.
    /// - Throws: `TargetError` when it is another process's.
    func check(_ found: String?) throws(TargetError) {
        guard let found, found != text else { return }
        throw TargetError(
            .taskTaken,
            "the task is run by \(Self.description(of: found)), as \(key) in the target says. One task, one process: stop "
                + "that one, or give this one a taskName of its own")
    }
}

/// The record as its owner, and those who want to be, see and change it.
extension TargetControl {
    /// Replaces what `key` holds, if `mayReplace` says so, and nobody else does at the same time.
    ///
    /// - Parameters:
    ///   - record: what is written; `nil`: the key is removed.
    ///   - mayReplace: asked with what the key holds; `nil`: nothing.
    /// - Returns: `isReplaced`; and what the key held, with the milliseconds until that ends (-1: never).
    package func exchange(
        _ key: String, with record: OwnershipRecord?, mayReplace: @Sendable (String?) -> Bool
    ) async throws(TargetError) -> (isReplaced: Bool, found: String?, endsIn: Int64) {
        do throws(TargetError) {
            // On one connection, since another one would know nothing of WATCH.
            let connection = try await open()
            _ = try await demand(["SELECT", "0"], on: connection)
            while true {
                _ = try await demand(["WATCH", key], on: connection)
                let found = try await demand(["GET", key], on: connection).text
                let endsIn = found == nil ? 0 : try await demand(["PTTL", key], on: connection).int ?? 0
                guard mayReplace(found) else {
                    _ = try await demand(["UNWATCH"], on: connection)
                    return (false, found, endsIn)
                }
                _ = try await demand(["MULTI"], on: connection)
                _ = try await demand(record?.command ?? ["DEL", key], on: connection)
                // A null: somebody has changed it, or it has ended, since WATCH.
                if case .array(.some) = try await demand(["EXEC"], on: connection) { return (true, found, endsIn) }
            }
        } catch {
            // The connection may be in the middle of a transaction.
            await close()
            throw error
        }
    }

    /// Whether other connections bear the task's name; `nil` when the target does not say.
    package func hasOtherConnections() async throws(TargetError) -> Bool? {
        try await connector.others(on: open())
    }
}
