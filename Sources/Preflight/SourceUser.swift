import Servers
import Wire

/// The ACL user of a connection to the source. Asks the source which commands this user may run.
struct SourceUser {
    /// The result of `ACL DRYRUN` for some commands.
    struct DryRun {
        /// Commands that the user may not run.
        let denied: [String]
        /// Whether the source confirmed all other commands; `false` if the user may not run `ACL DRYRUN`.
        let isComplete: Bool
    }

    let name: String

    /// - Parameter configured: the user to assume if the source does not answer.
    static func ask(_ server: ServerConnection, configured: String?) async throws(ServerError) -> SourceUser {
        let reply = try await server.requests([command("ACL", "WHOAMI")])[0]
        // A Dragonfly answers "User is default", whereas a Redis answers only the name.
        return SourceUser(name: reply.text?.split(separator: " ").last.map(String.init) ?? configured ?? "default")
    }

    func dryRun(_ commands: [String], on server: ServerConnection) async throws(ServerError) -> DryRun {
        let replies = try await server.requests(commands.map { command("ACL", "DRYRUN", name, $0) })
        let denied = zip(commands, replies).filter { $1.text?.contains("no perm") == true }.map(\.0)
        return DryRun(denied: denied, isComplete: denied.isEmpty && replies.allSatisfy(\.isOK))
    }

    /// The command that grants rules such as `+DFLY +TIME`.
    func grant(_ rules: String) -> String { "on the source: ACL SETUSER \(name) \(rules)" }
}
