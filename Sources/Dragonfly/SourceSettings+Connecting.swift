package import Link
import Wire

extension SourceSettings {
    /// Opens an ordinary, authenticated connection for queries. It creates no session, and the master does not count it as
    /// a replica.
    ///
    /// - Throws: `SourceError`.
    package func connect(label: String) async throws(SourceError) -> RequestConnection {
        do {
            let connection = try await RequestConnection.connect(
                to: endpoint, tls: tls, label: label, timeout: connectTimeout)
            do {
                if let arguments = authentication(user: user, password: currentPassword) {
                    let reply = try await connection.request(
                        arguments.map(\.bytes), timeout: connectTimeout)
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
    /// The error that broke an ordinary connection to the source. An error that does not concern a connection is worth
    /// another attempt.
    package init(ordinary error: any Error) {
        self = SourceError(error) ?? SourceError(.unreachable, "the source: \(error)")
    }

    /// The meaning of an error reply to a command that only reads.
    package static func reply(_ text: String, toQuestion step: String) -> SourceError {
        guard text.hasPrefix("NOPERM") else { return reply(text, to: step) }
        let rule = "+\(step.lowercased().replacing(" ", with: "|"))"
        return SourceError(.permission, "the source's ACL forbids \(step): add \(rule) to the user (\(text))")
    }
}
