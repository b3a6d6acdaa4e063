import Link
package import Wire

/// The sequence of a replication session as a pure state machine, without I/O. Each event returns the next action.
///
/// ```
///  AUTH? PING TIME INFO         │ DFLY FLOW x n │ all FULL:    DFLY SYNC ... DFLY STARTSTABLE
///  ip-address capa dragonfly    │               │ all PARTIAL: DFLY STARTSTABLE
///  CLIENT-ID CLIENT-VERSION     │               │
/// ```
/// Some sequences of commands crash a master (Protocol 0.3, 1.6, 2.7). This state machine cannot produce them:
/// CLIENT-VERSION is sent only in a state that has a session; SYNC only if all flows answered FULL; STARTSTABLE only after
/// SYNC and the FULLSYNC_END of every flow, or if all flows answered PARTIAL; and `capa dragonfly` only once.
package struct SessionStateMachine: ~Copyable {
    /// What the master reports in its reply to `capa dragonfly`.
    package struct Session: Equatable, Sendable {
        package var replicationID: String
        package var syncID: String
        package var flowCount: Int
        package var protocolVersion: Int?
        /// The master's release according to INFO; `nil` if unknown.
        package var version: SourceVersion?

        package init(
            replicationID: String, syncID: String, flowCount: Int, protocolVersion: Int?, version: SourceVersion? = nil
        ) {
            self.replicationID = replicationID
            self.syncID = syncID
            self.flowCount = flowCount
            self.protocolVersion = protocolVersion
            self.version = version
        }
    }

    package enum FlowMode: Equatable, Sendable {
        /// A snapshot that ends with this token, followed by the journal.
        case full(token: [UInt8])
        /// The journal from the requested LSN on.
        case partial
    }

    package enum Action: Equatable, Sendable {
        /// Send the command on the main connection, and pass the reply to the state machine.
        case send([String])
        /// Open a connection for each flow, send the flow's command on it, and pass the reply to the state machine.
        case openFlows([[String]])
        /// Start a reader for every flow, then send the command on the main connection and pass on the reply.
        case startReadersThenSend([String])
        case wait
        /// From now on, every flow brings its journal.
        case stable
    }

    /// The announced protocol version. All supported masters take 4 for VER4 or VER5, and later masters then send no
    /// opcodes of VER6 (Protocol 1.7).
    package static let announcedVersion = 4
    package static let maxFlows = 1024

    private enum State {
        case initial
        case authenticating
        case pinging
        case askingTime
        case askingVersion
        case naming(SourceVersion?)
        case announcing(SourceVersion?)
        case identifying(Session)
        case versioning(Session)
        case openingFlows(Session, [FlowMode?])
        case ready(Session, [FlowMode])
        case startingSync(Session, completed: Set<FlowID>)
        case syncing(Session, completed: Set<FlowID>)
        case startingStable(Session, isContinuing: Bool)
        case stable(Session)
        case failed
    }

    private var state = State.initial
    private let user: String?
    private let password: String?
    private let clientID: String
    private let displayName: String
    private let resumePoint: ResumePoint?

    package init(
        user: String?, password: String?, clientID: String, displayName: String, resumePoint: ResumePoint?
    ) {
        self.user = user
        self.password = password
        self.clientID = clientID
        self.displayName = displayName
        self.resumePoint = resumePoint
    }

    /// The session, after the master has created it.
    package var session: Session? {
        switch state {
        case .initial, .authenticating, .pinging, .askingTime, .askingVersion, .naming, .announcing, .failed: nil
        case .identifying(let session), .versioning(let session), .openingFlows(let session, _),
            .ready(let session, _), .startingSync(let session, _), .syncing(let session, _),
            .startingStable(let session, _), .stable(let session):
            session
        }
    }

    /// Call this when the connection to the master is established.
    package mutating func connected() -> Action {
        guard case .initial = state else { preconditionFailure("a session begins once") }
        if let command = authentication(user: user, password: password) {
            state = .authenticating
            return .send(command)
        }
        state = .pinging
        return .send(["PING"])
    }

    /// Handles a reply on the main connection.
    package mutating func mainReplied(_ reply: RESPValue) throws(SourceError) -> Action {
        do throws(SourceError) {
            return try advance(reply)
        } catch {
            state = .failed
            throw error
        }
    }

    private mutating func advance(_ reply: RESPValue) throws(SourceError) -> Action {
        switch state {
        case .authenticating:
            try requireOK(reply, to: "AUTH")
            state = .pinging
            return .send(["PING"])
        case .pinging:
            if case .error(let text) = reply { throw SourceError.reply(text, to: "PING") }
            state = .askingTime
            return .send(SourceClock.question)
        case .askingTime:
            // The reply is only for the owner's `SourceClock`. An ACL may forbid TIME.
            state = .askingVersion
            return .send(["INFO", "server"])
        case .askingVersion:
            // The version comes from INFO, because a resumed flow brings no `df-ver`. An ACL may forbid INFO too.
            state = .naming(reply.text.flatMap(Self.version))
            return .send(["REPLCONF", "ip-address", displayName])
        case .naming(let version):
            // ROLE and INFO show the name just sent. The master copies it into the session, so it must come first. A
            // refusal changes nothing.
            state = .announcing(version)
            return .send(["REPLCONF", "capa", "dragonfly"])
        case .announcing(let version):
            var session = try Self.parseSession(reply)
            session.version = version
            state = .identifying(session)
            return .send(["REPLCONF", "CLIENT-ID", clientID])
        case .identifying(let session):
            // Old masters do not know CLIENT-ID. It is optional, so a refusal changes nothing.
            state = .versioning(session)
            return .send(["REPLCONF", "CLIENT-VERSION", String(Self.announcedVersion)])
        case .versioning(let session):
            if case .error(let text) = reply { throw SourceError.reply(text, to: "REPLCONF CLIENT-VERSION") }
            state = .openingFlows(session, Array(repeating: nil, count: session.flowCount))
            return .openFlows(flowCommands(session))
        case .startingSync(let session, let completed):
            try requireOK(reply, toSessionCommand: "DFLY SYNC")
            state = .syncing(session, completed: completed)
            return startStableIfComplete()
        case .startingStable(let session, let isContinuing):
            if isContinuing, case .error(let text) = reply {
                let refusal = SourceError.reply(text, to: "DFLY STARTSTABLE")
                if refusal.code == .notReady || refusal.code == .loading { throw refusal }
                // Either the requested position has just left the buffer, or the master is older than v1.35 and continues
                // in its own way.
                throw SourceError(
                    .resumeRefused, "the source cannot continue after all (it answered \(text)): a full sync is needed")
            }
            try requireOK(reply, toSessionCommand: "DFLY STARTSTABLE")
            state = .stable(session)
            return .stable
        case .initial, .openingFlows, .ready, .syncing, .stable, .failed:
            throw SourceError(.protocolViolation, "the source sent a reply that nothing asked for")
        }
    }

    private func flowCommands(_ session: Session) -> [[String]] {
        // A position is requested only if it belongs to this master. An LSN of another master would mean other data.
        let resumes =
            resumePoint?.replicationID == session.replicationID
            && resumePoint?.nextLSNs.count == session.flowCount
        return (0..<session.flowCount).map { flow in
            let command = ["DFLY", "FLOW", session.replicationID, session.syncID, String(flow)]
            guard resumes, let lsn = resumePoint?.nextLSNs[flow] else { return command }
            return command + [String(lsn.value)]
        }
    }

    /// Handles the reply to a flow's DFLY FLOW.
    package mutating func flowReplied(_ flow: FlowID, _ reply: RESPValue) throws(SourceError) -> Action {
        guard case .openingFlows(let session, var modes) = state else {
            preconditionFailure("a flow answers while flows are being opened")
        }
        state = .failed
        if case .error(let text) = reply { throw SourceError.reply(text, toSessionCommand: "DFLY FLOW \(flow)") }
        guard case .array(let elements?) = reply, elements.count >= 2, let kind = elements[0].text,
            let token = elements[1].text
        else { throw SourceError(.protocolViolation, "flow \(flow): the reply to DFLY FLOW is not a mode and a token") }
        switch kind {
        case "FULL":
            guard token.utf8.count == 40 else {
                throw SourceError(.protocolViolation, "flow \(flow): the end-of-snapshot token is not 40 characters")
            }
            modes[flow.index] = .full(token: token.bytes)
        case "PARTIAL": modes[flow.index] = .partial
        default: throw SourceError(.protocolViolation, "flow \(flow): the source answers neither FULL nor PARTIAL")
        }
        guard !modes.contains(nil) else {
            state = .openingFlows(session, modes)
            return .wait
        }
        let complete = modes.compactMap { $0 }
        let partial = complete.count { $0 == .partial }
        guard partial == 0 || partial == complete.count else {
            throw SourceError(
                .resumeRefused,
                "the source can continue \(partial) of \(complete.count) flows only: a full sync is needed")
        }
        state = .ready(session, complete)
        return .wait
    }

    /// The modes of all flows, after all have answered with the same mode.
    package var flowModes: [FlowMode]? {
        if case .ready(_, let modes) = state { return modes }
        return nil
    }

    /// Begins the sync. Every flow must be open and have its way to the target.
    package mutating func begin() -> Action {
        guard case .ready(let session, let modes) = state else {
            preconditionFailure("a session begins when its flows are open")
        }
        if modes.first == .partial {
            state = .startingStable(session, isContinuing: true)
            return .startReadersThenSend(["DFLY", "STARTSTABLE", session.syncID])
        }
        state = .startingSync(session, completed: [])
        return .startReadersThenSend(["DFLY", "SYNC", session.syncID])
    }

    /// Handles the FULLSYNC_END of a flow, which may arrive before the reply to SYNC.
    package mutating func snapshotCompleted(_ flow: FlowID) throws(SourceError) -> Action {
        switch state {
        case .startingSync(let session, var completed):
            completed.insert(flow)
            state = .startingSync(session, completed: completed)
            return .wait
        case .syncing(let session, var completed):
            completed.insert(flow)
            state = .syncing(session, completed: completed)
            return startStableIfComplete()
        default:
            state = .failed
            throw SourceError(.protocolViolation, "flow \(flow): FULLSYNC_END outside of a full sync")
        }
    }

    private mutating func startStableIfComplete() -> Action {
        guard case .syncing(let session, let completed) = state, completed.count == session.flowCount else {
            return .wait
        }
        state = .startingStable(session, isContinuing: false)
        return .send(["DFLY", "STARTSTABLE", session.syncID])
    }

    private func requireOK(_ reply: RESPValue, to step: String) throws(SourceError) {
        if case .error(let text) = reply { throw SourceError.reply(text, to: step) }
        guard reply.isOK else { throw SourceError(.protocolViolation, "the source's answer to \(step) is not OK") }
    }

    private func requireOK(_ reply: RESPValue, toSessionCommand step: String) throws(SourceError) {
        if case .error(let text) = reply { throw SourceError.reply(text, toSessionCommand: step) }
        try requireOK(reply, to: step)
    }

    /// - Parameter info: the reply to INFO.
    private static func version(in info: String) -> SourceVersion? {
        ServerInfo(info)["dragonfly_version"].flatMap { SourceVersion($0) }
    }

    private static func parseSession(_ reply: RESPValue) throws(SourceError) -> Session {
        if case .error(let text) = reply { throw SourceError.reply(text, to: "REPLCONF capa dragonfly") }
        if reply.isOK {
            throw SourceError(.notAMaster, "the source is not a Dragonfly (a Redis or Valkey answers like this)")
        }
        guard case .array(let elements?) = reply, elements.count >= 3, let id = elements[0].text,
            let sync = elements[1].text, case .integer(let flows) = elements[2]
        else {
            throw SourceError(.protocolViolation, "the reply to REPLCONF capa dragonfly is not id, sync id and flows")
        }
        guard (1...Int64(maxFlows)).contains(flows) else {
            throw SourceError(.protocolViolation, "the source announces \(flows) flows; 1 to \(maxFlows) are possible")
        }
        var version: Int?
        if elements.count > 3, case .integer(let number) = elements[3] { version = Int(clamping: number) }
        return Session(replicationID: id, syncID: sync, flowCount: Int(flows), protocolVersion: version)
    }
}
