import Servers
import Wire

/// The ACL user of a connection to the source, and what it may do as far as the source says it.
struct SourceUser {
    /// What a source says to a user who wants to try some commands without running them.
    struct DryRun {
        /// Commands that are not allowed to it.
        let denied: [String]
        /// The others are allowed; `false` where the user may not even ask.
        let isComplete: Bool
    }

    let name: String

    /// - Parameter configured: who it is where the source does not say.
    static func ask(_ server: ServerConnection, configured: String?) async throws(ServerError) -> SourceUser {
        let reply = try await server.requests([command("ACL", "WHOAMI")])[0]
        // "User is default", where a Redis answers the name alone.
        return SourceUser(name: reply.text?.split(separator: " ").last.map(String.init) ?? configured ?? "default")
    }

    func dryRun(_ commands: [String], on server: ServerConnection) async throws(ServerError) -> DryRun {
        let replies = try await server.requests(commands.map { command("ACL", "DRYRUN", name, $0) })
        let denied = zip(commands, replies).filter { $1.text?.contains("no perm") == true }.map(\.0)
        return DryRun(denied: denied, isComplete: denied.isEmpty && replies.allSatisfy(\.isOK))
    }

    /// - Parameter rules: such as `+DFLY +TIME`.
    func grant(_ rules: String) -> String { "on the source: ACL SETUSER \(name) \(rules)" }
}
