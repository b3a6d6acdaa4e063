import Link

/// Why a session with the master cannot begin or continue, in words for a DBA.
package struct SourceError: Error, Equatable, Sendable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        /// Refused, reset or timed out; another attempt may succeed.
        case unreachable
        /// The master is loading its data set and will serve by itself.
        case loading
        /// The operating system refuses a socket, a thread or memory; another attempt may succeed.
        case exhausted
        /// SHUTTING_DOWN, too many clients, or a session that the master has dropped; another attempt may succeed.
        case notReady
        /// The password, the user or the ACL is wrong; an operator must act.
        case permission
        /// TLS could not be negotiated. At a start an operator must act; later, certificates may just be changing.
        case tls
        /// The master requires a client certificate, or a different one. Handled like `tls`.
        case clientCertificate
        /// Not a Dragonfly.
        case notAMaster
        /// The master is itself a replica now, so it takes no replicas and holds its master's data. It may be promoted.
        case replica
        /// The replies violate the protocol as we know it.
        case protocolViolation
        /// Some flows offered to resume and others did not, or the position is gone. The next session begins with a full
        /// sync.
        case resumeRefused
    }

    package let code: Code
    package let message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    /// Why a connection to the source cannot be created or used; `nil` if the error does not concern a connection.
    package init?(_ error: any Error) {
        switch error {
        case let error as SourceError: self = error
        case let error as SystemError where error.isExhaustion:
            self.init(.exhausted, "no connection to the source can be made: \(error)")
        case let error as SystemError: self.init(.unreachable, "\(Self.title): \(error)")
        case RequestFailure.tls(let error): self.init(error)
        case RequestFailure.needsTLS(let peer):
            self.init(.tls, "the source \(peer) speaks TLS on this port: set source.tls.enabled")
        case RequestFailure.malformedReply(let peer, let cause):
            self.init(.protocolViolation, "\(Self.title): \(peer) does not speak the Redis protocol: \(cause)")
        case RequestFailure.closedByPeer(let peer, let reason): self = .closed(by: peer, reason)
        case let error as RequestFailure: self.init(.unreachable, "\(Self.title): \(error)")
        default: return nil
        }
    }

    /// The beginning of messages that would otherwise name only an address: it says whose address, and which key sets it.
    private static let title = "the source (source.addr)"
    private static let refusedLogin = "the source refuses the password or the user"

    /// The same error. If it is a refused password, the message also names the server and the origin of the password.
    func ofLogin(at settings: SourceSettings) -> SourceError {
        guard message.hasPrefix(Self.refusedLogin) else { return self }
        let origin = settings.passwordOrigin.map { "; the password is of \($0)" } ?? ""
        return SourceError(
            code,
            "\(Self.refusedLogin) (\(settings.endpoint), source.addr\(origin))\(message.dropFirst(Self.refusedLogin.count))"
        )
    }

    private init(_ error: TLSError) {
        let code: Code =
            switch error.code {
            case .certificate, .plaintext, .version, .file: .tls
            case .clientCertificate: .clientCertificate
            case .unanswered: .unreachable
            }
        self.init(code, "the source: \(error)")
    }

    package var description: String { message }

    /// Whether another attempt may succeed although nobody has changed anything.
    package var isTransient: Bool {
        switch code {
        case .unreachable, .exhausted, .loading, .notReady, .tls, .clientCertificate, .replica, .resumeRefused: true
        case .permission, .notAMaster, .protocolViolation: false
        }
    }

    /// The meaning of an error reply to `step`. Source: Protocol 1.8, 2.2.
    static func reply(_ text: String, to step: String) -> SourceError {
        func starts(_ prefix: String) -> Bool { text.hasPrefix(prefix) }
        if starts("NOAUTH") {
            return .init(
                .permission,
                "the source requires a password: set source.password, source.passwordFile, or the systemd credential <task>.source-password, which by hand root alone can read (it answered \(text) to \(step))"
            )
        }
        if starts("WRONGPASS") || text.contains("invalid username-password") {
            return .init(.permission, "\(refusedLogin): \(text)")
        }
        if starts("NOPERM") {
            return .init(
                .permission,
                "the source's ACL forbids \(step): the user needs +REPLCONF +DFLY +PING +INFO +TIME (\(text))")
        }
        if text.contains("restricted command") {
            return .init(
                .permission, "the source allows \(step) on its admin port only: set source.addr to it (\(text))")
        }
        if starts("DENIED") {
            return .init(
                .permission,
                "the source is in protected mode and takes no clients of other hosts: give it a password and set source.password (\(text.prefix { $0 != "." }))"
            )
        }
        if starts("LOADING") { return .init(.loading, "the source is still loading its data set (\(text))") }
        if text.contains("max number of clients") {
            return .init(
                .notReady, "the source has as many clients as its maxclients allows: raise it, or close some (\(text))")
        }
        if text.contains("Replicating a replica") {
            return .init(
                .replica, "the source is itself a replica: set source.addr to its master, or promote it (\(text))")
        }
        if text.contains("Can not execute during") {
            return .init(.notReady, "the source does not take replicas at the moment (\(text))")
        }
        if text.contains("syncid not found") || text.contains("bad sync id") || text.contains("bad master id") {
            return .init(.notReady, "the source has dropped the session before \(step) (\(text))")
        }
        if text.contains("Bad TLS") { return .init(.tls, "the source expects TLS: set source.tls.enabled (\(text))") }
        return .init(.protocolViolation, "the source refuses \(step): \(text)")
    }

    /// The server's INFO has no Dragonfly version.
    package static func notADragonfly(_ settings: SourceSettings) -> SourceError {
        .init(.notAMaster, "the source \(settings.endpoint) (source.addr) is not a Dragonfly")
    }

    /// The source has ended a connection.
    ///
    /// - Parameter reason: the error line that the source sent, unasked, before it closed the connection.
    static func closed(by peer: String, _ reason: String?) -> SourceError {
        guard let reason else { return .init(.unreachable, "the source \(peer) closed the connection") }
        let refusal = reply(reason, to: "the connection")
        guard refusal.code == .protocolViolation else { return refusal }
        return .init(.unreachable, "the source \(peer) closed the connection: \(reason)")
    }

    /// The meaning of an error reply to a command that follows the creation of a session. Unless the reply is known to mean
    /// something else, a temporary state of the master blocks the command (a slot migration, a takeover, an allocation).
    static func reply(_ text: String, toSessionCommand step: String) -> SourceError {
        let error = reply(text, to: step)
        guard error.code == .protocolViolation else { return error }
        return .init(.notReady, error.message)
    }

    /// The meaning of an error line that the master sends in place of a journal record: its reply to an acknowledgement.
    package static func replyOnFlow(_ text: String) -> SourceError {
        let error = reply(text, toSessionCommand: "REPLCONF ACK")
        return .init(error.code, "the source answers an error on the flow: \(error.message)")
    }
}
