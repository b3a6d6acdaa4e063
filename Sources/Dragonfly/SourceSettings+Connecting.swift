package import Link
import Wire

extension SourceSettings {
    /// An ordinary connection, authenticated, for questions: no session, nothing that the master counts as a replica.
    ///
    /// - Throws: `SourceError`.
    package func connect(label: String) async throws(SourceError) -> RequestConnection {
        do {
            let connection = try await RequestConnection.connect(
                to: endpoint, tls: tls, label: label, timeout: connectTimeout)
            do {
                if let arguments = authentication(user: user, password: currentPassword) {
                    let reply = try await connection.request(
                        arguments.map { Array($0.utf8) }, timeout: connectTimeout)
                    if case .error(let text) = reply { throw SourceError.reply(text, to: "AUTH").ofLogin(at: self) }
                }
                return connection
            } catch {
                await connection.close()
                throw error
            }
        } catch {
            throw SourceError(ordinary: error)
        }
    }
}

extension SourceError {
    /// What broke an ordinary connection to the source: whatever is of no connection is worth another try.
    package init(ordinary error: any Error) {
        self = SourceError(error) ?? SourceError(.unreachable, "the source: \(error)")
    }

    /// An error reply to a command that reads.
    package static func reply(_ text: String, toQuestion step: String) -> SourceError {
        guard text.hasPrefix("NOPERM") else { return reply(text, to: step) }
        let rule = "+\(step.lowercased().replacing(" ", with: "|"))"
        return SourceError(.permission, "the source's ACL forbids \(step): add \(rule) to the user (\(text))")
    }
}
