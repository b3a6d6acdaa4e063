import Testing
import Wire

@testable import Dragonfly

@Suite("The command sequence of a session")
struct SessionStateMachineTests {
    private static let id = "090b9cd765968fe9facc800827df0c46e1c6a051"
    private static let token = String(repeating: "a", count: 40)
    private static let greeting = RESPValue.array([.simple(id), .simple("SYNC1"), .integer(2), .integer(4)])
    private static let full = RESPValue.array([.simple("FULL"), .simple(token)])
    private static let partial = RESPValue.array([.simple("PARTIAL"), .simple(token)])
    private static let time = RESPValue.array([.bulk(Array("1800000000".utf8)), .bulk(Array("123456".utf8))])
    private static let info = RESPValue.bulk(
        Array("# Server\r\nredis_version:7.4.0\r\ndragonfly_version:df-v1.36.0\r\n".utf8))
    private static let ok = RESPValue.simple("OK")

    private func machine(
        password: String? = nil, user: String? = nil, resume: ResumePoint? = nil
    ) -> SessionStateMachine {
        SessionStateMachine(
            user: user, password: password, clientID: String(repeating: "c", count: 40),
            displayName: "df2redis/prod@db7", resumePoint: resume)
    }

    /// Answers the machine up to the commands of the flows.
    private func greet(_ machine: inout SessionStateMachine) throws -> SessionStateMachine.Action {
        #expect(machine.connected() == .send(["PING"]))
        #expect(try machine.mainReplied(.simple("PONG")) == .send(["TIME"]))
        #expect(try machine.mainReplied(Self.time) == .send(["INFO", "server"]))
        #expect(try machine.mainReplied(Self.info) == .send(["REPLCONF", "ip-address", "df2redis/prod@db7"]))
        #expect(try machine.mainReplied(Self.ok) == .send(["REPLCONF", "capa", "dragonfly"]))
        #expect(
            try machine.mainReplied(Self.greeting)
                == .send(["REPLCONF", "CLIENT-ID", String(repeating: "c", count: 40)]))
        #expect(try machine.mainReplied(Self.ok) == .send(["REPLCONF", "CLIENT-VERSION", "4"]))
        return try machine.mainReplied(Self.ok)
    }

    @Test("follows the protocol in a full sync")
    func fullSync() throws {
        var machine = machine()
        let flows = try greet(&machine)
        #expect(
            flows == .openFlows([["DFLY", "FLOW", Self.id, "SYNC1", "0"], ["DFLY", "FLOW", Self.id, "SYNC1", "1"]]))
        #expect(try machine.flowReplied(FlowID(0), Self.full) == .wait)
        #expect(machine.flowModes == nil)
        #expect(try machine.flowReplied(FlowID(1), Self.full) == .wait)
        #expect(machine.flowModes?.count == 2)
        #expect(machine.begin() == .startReadersThenSend(["DFLY", "SYNC", "SYNC1"]))
        // A flow may complete its snapshot before the reply to SYNC arrives.
        #expect(try machine.snapshotCompleted(FlowID(1)) == .wait)
        #expect(try machine.mainReplied(Self.ok) == .wait)
        #expect(try machine.snapshotCompleted(FlowID(1)) == .wait, "a flow counts once")
        #expect(try machine.snapshotCompleted(FlowID(0)) == .send(["DFLY", "STARTSTABLE", "SYNC1"]))
        #expect(try machine.mainReplied(Self.ok) == .stable)
    }

    @Test("has STARTSTABLE only if the session is continued")
    func partialSync() throws {
        var machine = machine(resume: ResumePoint(replicationID: Self.id, nextLSNs: [LSN(7), LSN(9)]))
        let flows = try greet(&machine)
        #expect(
            flows
                == .openFlows([
                    ["DFLY", "FLOW", Self.id, "SYNC1", "0", "7"], ["DFLY", "FLOW", Self.id, "SYNC1", "1", "9"],
                ]))
        _ = try machine.flowReplied(FlowID(0), Self.partial)
        _ = try machine.flowReplied(FlowID(1), Self.partial)
        #expect(machine.begin() == .startReadersThenSend(["DFLY", "STARTSTABLE", "SYNC1"]))
        #expect(try machine.mainReplied(Self.ok) == .stable)
    }

    @Test("ends if STARTSTABLE is refused after PARTIAL: the position has left the buffer")
    func refusedContinuation() throws {
        var machine = machine(resume: ResumePoint(replicationID: Self.id, nextLSNs: [LSN(7), LSN(9)]))
        _ = try greet(&machine)
        _ = try machine.flowReplied(FlowID(0), Self.partial)
        _ = try machine.flowReplied(FlowID(1), Self.partial)
        _ = machine.begin()
        do {
            _ = try machine.mainReplied(.error("ERR invalid state"))
            Issue.record("the refusal was taken for an answer")
        } catch {
            #expect(error.code == .resumeRefused)
        }
    }

    @Test("goes on if the master reports neither its time nor its release")
    func refusedTime() throws {
        var machine = machine()
        _ = machine.connected()
        _ = try machine.mainReplied(.simple("PONG"))
        #expect(try machine.mainReplied(.error("NOPERM no")) == .send(["INFO", "server"]))
        #expect(
            try machine.mainReplied(.error("NOPERM no")) == .send(["REPLCONF", "ip-address", "df2redis/prod@db7"]))
        _ = try machine.mainReplied(Self.ok)
        _ = try machine.mainReplied(Self.greeting)
        #expect(machine.session?.version == nil)
    }

    @Test("goes on if the master refuses a client name")
    func refusedName() throws {
        var machine = machine()
        _ = machine.connected()
        _ = try machine.mainReplied(.simple("PONG"))
        _ = try machine.mainReplied(Self.time)
        _ = try machine.mainReplied(Self.info)
        #expect(try machine.mainReplied(.error("ERR syntax error")) == .send(["REPLCONF", "capa", "dragonfly"]))
    }

    @Test("learns the master's release from INFO, as a continued flow does not report it")
    func release() throws {
        var machine = machine()
        _ = try greet(&machine)
        #expect(machine.session?.version == SourceVersion(1, 36, 0))
    }

    @Test(
        "ignores a position of another master or with another number of flows",
        arguments: [
            ResumePoint(replicationID: String(repeating: "0", count: 40), nextLSNs: [LSN(7), LSN(9)]),
            ResumePoint(replicationID: id, nextLSNs: [LSN(7)]),
        ])
    func foreignPosition(_ point: ResumePoint) throws {
        var machine = machine(resume: point)
        let flows = try greet(&machine)
        #expect(
            flows == .openFlows([["DFLY", "FLOW", Self.id, "SYNC1", "0"], ["DFLY", "FLOW", Self.id, "SYNC1", "1"]]))
    }

    @Test("ends if some flows answer FULL and others PARTIAL: the master would abort later")
    func mixedFlows() throws {
        var machine = machine(resume: ResumePoint(replicationID: Self.id, nextLSNs: [LSN(7), LSN(9)]))
        _ = try greet(&machine)
        _ = try machine.flowReplied(FlowID(0), Self.partial)
        do {
            _ = try machine.flowReplied(FlowID(1), Self.full)
            Issue.record("a mixture was taken")
        } catch {
            #expect(error.code == .resumeRefused)
        }
        #expect(machine.flowModes == nil)
    }

    @Test("begins with AUTH if there is a password", arguments: [nil, "replica"] as [String?])
    func authentication(_ user: String?) throws {
        var machine = machine(password: "secret", user: user)
        #expect(machine.connected() == .send(user.map { ["AUTH", $0, "secret"] } ?? ["AUTH", "secret"]))
        #expect(try machine.mainReplied(Self.ok) == .send(["PING"]))
    }

    @Test(
        "ends with an error that says to a DBA what to do",
        arguments: [
            ("NOAUTH Authentication required.", SourceError.Code.permission, "source.password"),
            ("WRONGPASS invalid username-password pair or user is disabled.", .permission, "refuses the password"),
            ("NOPERM x has no ACL permissions", .permission, "+REPLCONF +DFLY"),
            ("ERR Cannot execute restricted command (admin only)", .permission, "admin port"),
            ("LOADING Dragonfly is loading the dataset in memory", .loading, "loading"),
            ("ERR Replicating a replica is unsupported", .replica, "itself a replica"),
            ("ERR Can not execute during SHUTTING_DOWN", .notReady, "does not take replicas"),
            ("ERR max number of clients reached", .notReady, "maxclients"),
            ("ERR syncid not found", .notReady, "dropped the session"),
            ("ERR something new", .protocolViolation, "something new"),
        ])
    func errors(_ reply: String, _ code: SourceError.Code, _ words: String) throws {
        var machine = machine()
        _ = machine.connected()
        _ = try machine.mainReplied(.simple("PONG"))
        _ = try machine.mainReplied(Self.time)
        _ = try machine.mainReplied(Self.info)
        _ = try machine.mainReplied(Self.ok)
        do {
            _ = try machine.mainReplied(.error(reply))
            Issue.record("the error was taken for an answer")
        } catch {
            #expect(error.code == code)
            #expect(error.message.contains(words), "\(error.message)")
        }
    }

    @Test(
        "treats an unknown refusal of FLOW, SYNC or STARTSTABLE as transient",
        arguments: ["FLOW", "SYNC", "STARTSTABLE"])
    func unknownRefusals(_ step: String) throws {
        var machine = machine()
        _ = try greet(&machine)
        do {
            let refusal = RESPValue.error("ERR something new")
            _ = try machine.flowReplied(FlowID(0), step == "FLOW" ? refusal : Self.full)
            _ = try machine.flowReplied(FlowID(1), Self.full)
            _ = machine.begin()
            _ = try machine.mainReplied(step == "SYNC" ? refusal : Self.ok)
            for flow in 0...1 { _ = try machine.snapshotCompleted(FlowID(flow)) }
            _ = try machine.mainReplied(refusal)
            Issue.record("the error was taken for an answer")
        } catch {
            #expect(error.code == .notReady)
            #expect(error.isTransient)
            #expect(error.message.contains("DFLY \(step)"), "\(error)")
        }
    }

    @Test("ends with an error if the source is a Redis, which answers OK to everything")
    func redisAsSource() throws {
        var machine = machine()
        _ = machine.connected()
        _ = try machine.mainReplied(.simple("PONG"))
        _ = try machine.mainReplied(Self.time)
        _ = try machine.mainReplied(Self.info)
        _ = try machine.mainReplied(Self.ok)
        do {
            _ = try machine.mainReplied(Self.ok)
            Issue.record("a Redis was taken for a Dragonfly")
        } catch {
            #expect(error.code == .notAMaster)
        }
    }

    @Test(
        "ends with an error after a malformed greeting",
        arguments: [
            .array([.simple("x")]), .array(nil), .integer(1), .array([.simple(id), .simple("SYNC1"), .integer(0)]),
            .array([.simple(id), .simple("SYNC1"), .integer(1025)]),
            .array([.integer(1), .simple("SYNC1"), .integer(2)]),
        ] as [RESPValue])
    func malformedGreetings(_ reply: RESPValue) throws {
        var machine = machine()
        _ = machine.connected()
        _ = try machine.mainReplied(.simple("PONG"))
        _ = try machine.mainReplied(Self.time)
        _ = try machine.mainReplied(Self.info)
        _ = try machine.mainReplied(Self.ok)
        do {
            _ = try machine.mainReplied(reply)
            Issue.record("\(reply) was taken for a greeting")
        } catch {
            #expect(error.code == .protocolViolation)
        }
    }

    /// Whatever a master answers, in whatever order flows complete: the commands sent keep the rules of Protocol
    /// 0.3 and 2.7.
    @Test("never becomes a sequence that crashes a master", arguments: 0..<500 as Range<UInt64>)
    func randomMasters(_ seed: UInt64) {
        var random = SeededRandom(state: seed &* 0x9E37_79B9_7F4A_7C15 &+ 1)
        var machine = machine(
            password: random.next(2) == 0 ? nil : "p",
            resume: random.next(2) == 0 ? nil : ResumePoint(replicationID: Self.id, nextLSNs: [LSN(7), LSN(9)]))
        let answers: [RESPValue] = [
            Self.ok, Self.ok, Self.ok, .simple("PONG"), Self.greeting, Self.greeting, .error("ERR no"), .integer(1),
            .array(nil),
        ]
        var rules = SequenceRules()
        var action = machine.connected()
        var flowAnswers: [RESPValue] = []
        do throws(SourceError) {
            for _ in 0..<40 {
                switch action {
                case .send(let command):
                    rules.sent(command)
                    // Mostly the right answer, or hardly any session would get far.
                    let right: RESPValue =
                        command == ["PING"]
                        ? .simple("PONG") : command == ["REPLCONF", "capa", "dragonfly"] ? Self.greeting : Self.ok
                    action = try machine.mainReplied(random.next(8) == 0 ? answers[random.next(answers.count)] : right)
                case .openFlows(let commands):
                    for flow in commands.indices {
                        rules.sent(commands[flow])
                        let answer = random.next(3) == 0 ? Self.full : random.next(2) == 0 ? Self.partial : Self.full
                        flowAnswers.append(answer)
                        _ = try machine.flowReplied(FlowID(flow), answer)
                    }
                    rules.opened(flowAnswers.map { $0 == Self.full })
                    action = machine.begin()
                case .startReadersThenSend(let command):
                    rules.sent(command)
                    action = try machine.mainReplied(random.next(6) == 0 ? .error("ERR invalid state") : Self.ok)
                case .wait:
                    let flow = FlowID(random.next(2))
                    rules.completed(flow.index)
                    action = try machine.snapshotCompleted(flow)
                case .stable:
                    return
                }
            }
        } catch {
            // The session has ended, as it should after a wrong answer.
        }
        #expect(rules.violations == [], "seed \(seed)")
    }
}

/// What must hold of the commands of one session.
private struct SequenceRules {
    private(set) var violations: [String] = []
    private var greetings = 0
    private var isFull: [Bool]?
    private var hasSynced = false
    private var completed: Set<Int> = []

    mutating func sent(_ command: [String]) {
        switch command.prefix(2).joined(separator: " ") {
        case "REPLCONF capa":
            greetings += 1
            if greetings > 1 { violations.append("capa dragonfly twice") }
        case "REPLCONF CLIENT-VERSION":
            if greetings == 0 { violations.append("CLIENT-VERSION without a session") }
        case "DFLY SYNC":
            if isFull != [true, true] { violations.append("SYNC with flows that are not all FULL") }
            hasSynced = true
        case "DFLY STARTSTABLE":
            if isFull == [true, true] {
                if !hasSynced { violations.append("STARTSTABLE without SYNC") }
                if completed.count < 2 { violations.append("STARTSTABLE before FULLSYNC_END of every flow") }
            } else if isFull != [false, false] {
                violations.append("STARTSTABLE with mixed flows")
            }
        default: break
        }
    }

    mutating func opened(_ modes: [Bool]) { isFull = modes }
    mutating func completed(_ flow: Int) { completed.insert(flow) }
}

private struct SeededRandom {
    var state: UInt64

    mutating func next(_ bound: Int) -> Int {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return Int(state % UInt64(bound))
    }
}
