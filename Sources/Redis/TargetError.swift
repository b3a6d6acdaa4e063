import Link

/// Why the target cannot be used, in words for a DBA.
package struct TargetError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        /// Refused, reset, timed out: worth another try.
        case unreachable
        /// It loads its data set, and will serve by itself.
        case loading
        /// The operating system refuses a socket, a thread or memory: worth another try.
        case exhausted
        /// READONLY, OOM, MISCONF, too many clients ...: worth another try.
        case notReady
        /// Password or ACL: an operator must act.
        case permission
        /// TLS is not agreed on. At a start an operator must act; later it may be the moment at which certificates change.
        case tls
        /// The target wants a client certificate, or another one; as `tls`.
        case clientCertificate
        /// No sentinel knows the master, or what was asked is none; as `tls`.
        case sentinel
        /// Too old, a cluster, not a Redis at all.
        case unsuitable
        /// It is not what it was when the session began: the next one asks anew.
        case changed
        /// Another process runs the task.
        case taskTaken
        /// The replies do not fit the requests.
        case protocolViolation

        /// Another attempt may succeed without anybody changing anything.
        package var isTransient: Bool {
            switch self {
            case .unreachable, .exhausted, .loading, .notReady, .tls, .clientCertificate, .sentinel: true
            case .permission, .unsuitable, .changed, .taskTaken, .protocolViolation: false
            }
        }
    }

    /// It may pass, and does not by itself: whoever waits for it says so again.
    package var needsOperator: Bool { [.tls, .clientCertificate, .sentinel].contains(code) }

    package let code: Code
    package let message: String
    /// The error that the target named, unasked, before it ended the connection.
    package let lastWords: String?
    /// The reply by which a cluster's node sends a request elsewhere, or has it sent again; nothing was executed.
    package var redirection: String?

    /// The end of the message, where it says what to do.
    package private(set) var remedy: String?

    package init(_ code: Code, _ message: String) {
        self.init(code, message, lastWords: nil)
    }

    /// - Parameter remedy: what an operator is to do; the message says it last.
    init(_ code: Code, _ fault: String, remedy: String) {
        self.init(code, "\(fault): \(remedy)")
        self.remedy = remedy
    }

    /// The message without the remedy.
    package var fault: String { String(message.dropLast(remedy.map { $0.count + 2 } ?? 0)) }

    private init(_ code: Code, _ message: String, lastWords: String?) {
        self.code = code
        self.message = message
        self.lastWords = lastWords
    }

    /// A connection has ended after the target had said `words`.
    package func after(words: String?) -> TargetError {
        guard let words else { return self }
        return TargetError(
            Self.isTransientReply(words) ? .notReady : code, "\(message), after it had said: \(words)", lastWords: words
        )
    }

    /// The target ended the connection because of what it was sent.
    package var blamesRequest: Bool { lastWords.map(Self.blamesRequest) == true }

    /// After these words a target ends the connection, because of what it was sent.
    package static func blamesRequest(_ words: String) -> Bool { words.hasPrefix("ERR Protocol error") }

    /// - Parameter title: begins what names an address alone.
    package init(_ error: any Error, at title: String = "the target") {
        switch error {
        case let error as TargetError: self = error
        case RequestFailure.malformedReply(let peer, let cause):
            self.init(.protocolViolation, "\(title): \(peer) does not speak the Redis protocol: \(cause)")
        case let error as SystemError where error.isExhaustion:
            self.init(.exhausted, "no connection to the target can be made: \(error)")
        case RequestFailure.closedByPeer(let peer, let reason): self = .closed(by: peer, reason)
        case RequestFailure.tls(let error), ChannelError.tls(let error): self.init(error, of: "the target")
        case RequestFailure.needsTLS(let peer):
            self.init(.tls, "the target \(peer) speaks TLS on this port: set target.tls.enabled")
        default: self.init(.unreachable, "\(title): \(error)")
        }
    }

    private static let refusedLogin = "the target refuses the password or the user"

    /// The same error; of a refused password, with the server and where the password has come from.
    func ofLogin(at endpoint: Endpoint, _ settings: TargetSettings) -> TargetError {
        guard message.hasPrefix(Self.refusedLogin) else { return self }
        let origin = settings.passwordOrigin.map { "; the password is of \($0)" } ?? ""
        return TargetError(
            code, "\(Self.refusedLogin) (\(endpoint)\(origin))\(message.dropFirst(Self.refusedLogin.count))")
    }

    /// - Parameter whose: with whom TLS is not agreed on.
    init(_ error: TLSError, of whose: String) {
        let code: Code =
            switch error.code {
            case .certificate, .plaintext, .version, .file: .tls
            case .clientCertificate: .clientCertificate
            case .unanswered: .unreachable
            }
        self.init(code, "\(whose): \(error)")
    }

    package var description: String { message }

    package var isTransient: Bool { code.isTransient }

    /// The state of the server that an error reply names, if it is one that passes.
    package static func isTransientReply(_ text: String) -> Bool {
        let prefixes = [
            "LOADING", "READONLY", "OOM", "MISCONF", "BUSY ", "NOREPLICAS", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN",
            "UNBLOCKED", "ERR max number of clients",
        ]
        // EXEC tells a state that has come up since the commands were queued as the reason of its refusal.
        let discarded = "EXECABORT Transaction discarded because of: "
        let state = text.hasPrefix(discarded) ? text.dropFirst(discarded.count) : text[...]
        return prefixes.contains { state.hasPrefix($0) }
    }

    /// The target has ended a connection.
    ///
    /// - Parameter reason: the error line that it sent before, unasked.
    package static func closed(by peer: String, _ reason: String?) -> TargetError {
        guard let reason else { return .init(.unreachable, "the target \(peer) closed the connection") }
        let refusal = reply(reason, to: "the connection")
        guard refusal.code == .unsuitable else { return refusal }
        return .init(.unreachable, "the target \(peer) closed the connection: \(reason)")
    }

    /// What an error reply to a request of the handshake means.
    ///
    /// - Parameter key: the key that the request was about, if it was about one.
    package static func reply(_ text: String, to step: String, key: String = "") -> TargetError {
        if text.hasPrefix("NOAUTH") {
            return .init(
                .permission,
                "the target requires a password: set target.password, target.passwordFile, or the systemd credential <task>.target-password, which by hand root alone can read (\(text))"
            )
        }
        if text.hasPrefix("WRONGPASS") || text.contains("invalid password") || text.contains("without any password") {
            return .init(.permission, "\(refusedLogin): \(text)")
        }
        if text.hasPrefix("DENIED") {
            return .init(
                .permission,
                "the target is in protected mode and takes no clients of other hosts: give it a password and set target.password (\(text.prefix { $0 != "." }))"
            )
        }
        if ["MOVED ", "ASK ", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "READONLY", "LOADING"].contains(
            where: text.hasPrefix)
        {
            var error = TargetError(
                text.hasPrefix("LOADING") ? .loading : .notReady, "the target is not ready: \(text)")
            error.redirection = text
            return error
        }
        if text.hasPrefix("NOPERM") { return forbidden(step, key: key, text) }
        if isTransientReply(text) { return .init(.notReady, "the target is not ready: \(text)") }
        if text.hasPrefix("WRONGTYPE"), !key.isEmpty {
            return .init(
                .unsuitable,
                "the target refuses \(step) \(key): \(text). The name is df2redis' own: rename or remove this key there"
            )
        }
        return .init(.unsuitable, "the target refuses \(step): \(text)")
    }

    /// A command that the target's ACL does not allow, with the rule to add.
    package static func forbidden(_ step: String, key: String = "", _ text: String) -> TargetError {
        // "... to access one of the keys used as arguments", "No permissions to access a key"
        let isKey = text.contains(" access ")
        let what = key.isEmpty ? step : "\(step) \(key)"
        let rule = isKey ? "~<pattern> of this key" : "+\(step.lowercased().replacing(" ", with: "|"))"
        return .init(.permission, "the target's ACL forbids \(what): add \(rule) to the user (\(text))")
    }
}
