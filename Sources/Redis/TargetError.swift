import Link

/// Why the target cannot be used, in words for a DBA.
package struct TargetError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        /// A connection was refused, reset or timed out: worth another try.
        case unreachable
        /// The server is loading its data set and will serve without any action.
        case loading
        /// The operating system refuses a socket, a thread or memory: worth another try.
        case exhausted
        /// READONLY, OOM, MISCONF, too many clients ...: worth another try.
        case notReady
        /// A password or ACL problem: an operator must act.
        case permission
        /// The TLS handshake failed. At a start an operator must act; later, certificates may just be changing.
        case tls
        /// The target requires a client certificate, or another one. Treated like `tls`.
        case clientCertificate
        /// No sentinel knows the master, or the server asked is not a sentinel. Treated like `tls`.
        case sentinel
        /// The server is too old, is or is not a cluster contrary to the configuration, or is not a Redis at all.
        case unsuitable
        /// The target is no longer what it was when the session began. The next session asks again.
        case changed
        /// Another process runs the task.
        case taskTaken
        /// Clients write to it since another task of the same source was cut over.
        case cutOver
        /// The replies do not fit the requests.
        case protocolViolation

        /// Whether another attempt may succeed without any change by a person.
        package var isTransient: Bool {
            switch self {
            case .unreachable, .exhausted, .loading, .notReady, .tls, .clientCertificate, .sentinel: true
            case .permission, .unsuitable, .changed, .taskTaken, .cutOver, .protocolViolation: false
            }
        }
    }

    /// Whether the error may pass but usually does not by itself, so that whoever waits for it reports it again.
    package var needsOperator: Bool { [.tls, .clientCertificate, .sentinel].contains(code) }

    package let code: Code
    package let message: String
    /// The error that the target sent, unasked, before it ended the connection.
    package let lastWords: String?
    /// The reply by which a node of a cluster redirects a request or asks for it to be sent again. Nothing was executed.
    package var redirection: String?

    /// The end of the message that says what to do, if it does.
    package private(set) var remedy: String?

    package init(_ code: Code, _ message: String) {
        self.init(code, message, lastWords: nil)
    }

    /// - Parameter remedy: what an operator should do; it is appended to the message.
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

    /// The error of a connection that ended after the target had sent `words`.
    package func after(words: String?) -> TargetError {
        guard let words else { return self }
        return TargetError(
            Self.isTransientReply(words) ? .notReady : code, "\(message), after it had said: \(words)", lastWords: words
        )
    }

    /// Whether the target ended the connection because of what it was sent.
    package var blamesRequest: Bool { lastWords.map(Self.blamesRequest) == true }

    /// Whether a target that sends these words ends the connection because of what it was sent.
    package static func blamesRequest(_ words: String) -> Bool { words.hasPrefix("ERR Protocol error") }

    /// - Parameter title: the beginning of a message that names only an address.
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

    /// Returns the same error. If the password was refused, adds the server and the origin of the password.
    func ofLogin(at endpoint: Endpoint, _ settings: TargetSettings) -> TargetError {
        guard message.hasPrefix(Self.refusedLogin) else { return self }
        let origin = settings.passwordOrigin.map { "; the password is of \($0)" } ?? ""
        return TargetError(
            code, "\(Self.refusedLogin) (\(endpoint)\(origin))\(message.dropFirst(Self.refusedLogin.count))")
    }

    /// - Parameter whose: the server with which the TLS handshake failed.
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

    /// Whether an error reply names a temporary state of the server.
    package static func isTransientReply(_ text: String) -> Bool {
        let prefixes = [
            "LOADING", "READONLY", "OOM", "MISCONF", "BUSY ", "NOREPLICAS", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN",
            "UNBLOCKED", "ERR max number of clients",
        ]
        // EXEC gives the reason for its refusal if a state has come up since its commands were queued.
        let discarded = "EXECABORT Transaction discarded because of: "
        let state = text.hasPrefix(discarded) ? text.dropFirst(discarded.count) : text[...]
        return prefixes.contains { state.hasPrefix($0) }
    }

    /// The error for a connection that the target has ended.
    ///
    /// - Parameter reason: the error line that the target sent before, unasked.
    package static func closed(by peer: String, _ reason: String?) -> TargetError {
        guard let reason else { return .init(.unreachable, "the target \(peer) closed the connection") }
        let refusal = reply(reason, to: "the connection")
        guard refusal.code == .unsuitable else { return refusal }
        return .init(.unreachable, "the target \(peer) closed the connection: \(reason)")
    }

    /// The error for an error reply to a request.
    ///
    /// - Parameter key: the key that the request concerned, if any.
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
        if isDenial(text) { return forbidden(step, key: key, text) }
        if isTransientReply(text) { return .init(.notReady, "the target is not ready: \(text)") }
        if text.hasPrefix("WRONGTYPE"), !key.isEmpty {
            return .init(
                .unsuitable,
                "the target refuses \(step) \(key): \(text). The name is df2redis' own: rename or remove this key there"
            )
        }
        return .init(.unsuitable, "the target refuses \(step): \(text)")
    }

    /// Whether an error reply says that the user lacks a right.
    package static func isDenial(_ text: String) -> Bool { text.hasPrefix("NOPERM") || isDenialInTransaction(text) }

    /// Whether an error reply says so of one command of a transaction whose other commands have run: of a command that a
    /// script has called, or of one whose right was revoked after it was queued.
    package static func isDenialInTransaction(_ text: String) -> Bool {
        text.hasPrefix("ERR ACL failure in script") || text.hasPrefix("ERR The user executing the script ")
            || text.hasPrefix("NOPERM ACLs rules changed between")
    }

    /// The error for a command that the target's ACL does not allow, with the rule to add.
    ///
    /// - Parameter calls: the commands that it calls, if it is a script.
    package static func forbidden(
        _ step: String, key: String = "", _ text: String, calls: [String] = []
    ) -> TargetError {
        let what = key.isEmpty ? step : "\(step) \(key)"
        let rule = missingRule(text, of: step, calls)
        return .init(.permission, "the target's ACL forbids \(what): add \(rule) to the user (\(text))")
    }

    private static func missingRule(_ text: String, of step: String, _ calls: [String]) -> String {
        // "... to access one of the keys used as arguments", "No permissions to access a key", "... to touch the specified keys"
        if text.contains(" access ") || text.contains(" touch ") { return "~<pattern> of this key" }
        if let command = deniedCommand(in: text) { return "+\(command)" }
        // What is no command is in words of ours.
        guard step == step.uppercased() else { return "what this needs" }
        let rules = (calls.isEmpty ? [step] : calls).map { "+\($0.lowercased().replacing(" ", with: "|"))" }
        return rules.count == 1 ? rules[0] : "what it lacks of \(rules.joined(separator: " "))"
    }

    /// The command in "User app has no permissions to run the 'config|get' command".
    private static func deniedCommand(in text: String) -> Substring? {
        let parts = text.split(separator: " run the '", maxSplits: 1)
        guard parts.count == 2, let end = parts[1].firstIndex(of: "'") else { return nil }
        return parts[1][..<end]
    }
}
