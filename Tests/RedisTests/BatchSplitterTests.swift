import Lab
import Link
import Testing
import Wire

@testable import Redis

/// A batch made of lines, with the records that its commands belong to.
private struct Stream {
    var batch = CommandBatch()

    /// - Parameters:
    ///   - records: commands of one record each, separated by `;`.
    ///   - next: the flow's next LSN after them; `nil`: of a snapshot.
    init(_ records: [String], next: UInt64?) {
        if next != nil { batch.beginJournal() }
        for record in records {
            for line in record.split(separator: ";") { append(words(String(line).trimmingBlanks)) }
            if next != nil { batch.endRecord() }
        }
        batch.progress.nextLSN = next
        batch.seal(checkpoint: .init(key: Array("ckpt".utf8), field: Array("flow:0".utf8), value: Array("v".utf8)))
    }

    private func append(_ words: [String]) {
        batch.append(words.map { Array($0.utf8) })
    }
}

extension String {
    fileprivate var trimmingBlanks: String { String(drop { $0 == " " }) }
}

private let reading = ClusterTopology.Reading(origin: Endpoint(host: "h", port: 1))

private func stamp() -> FlowStamp { FlowStamp(epoch: 7, number: 1) }

private func split(
    _ records: [String], next: UInt64? = nil, marks: SlotMarks = SlotMarks(), masters: [KeySlot] = [KeySlot(0)]
) -> [BatchStep] {
    BatchSplitter(task: "t", flow: 3, replicationID: "id").steps(
        of: Stream(records, next: next).batch, masters: masters, marks: marks, stamp: stamp)
}

extension SlotWork {
    /// What is sent for each part, words joined by blanks, by slot.
    func lines(asking: Bool = false) throws -> [KeySlot: [String]] {
        var lines: [KeySlot: [String]] = [:]
        for part in 0..<partCount where state(of: part) == .ready || state(of: part) == .inDoubt {
            var out = ByteBuffer()
            var expected: [NodeExpectation] = []
            send(part, asking: asking, into: &out, &expected)
            let bytes = out.withUnsafeBytes { Array($0) }
            var reader = ByteReader(bytes.span.bytes)
            while let value = try reader.readRESPValue() {
                lines[slot(of: part), default: []].append(
                    (value.array ?? []).map { $0.text ?? "?" }.joined(separator: " "))
            }
            #expect(lines[slot(of: part)]?.count == expected.count)
        }
        return lines
    }
}

private func works(_ steps: [BatchStep]) -> [SlotWork] {
    steps.compactMap { if case .slots(let work) = $0 { work } else { nil } }
}

private func crossings(_ steps: [BatchStep]) -> [CrossSlotCommand] {
    steps.compactMap { if case .crossing(let command) = $0 { command } else { nil } }
}

/// `foo` is in slot 12182, `bar` in 5061, `{foo}2` with `foo`.
@Suite struct `A batch that is divided by slot` {
    private let foo = KeySlot(of: "foo")
    private let bar = KeySlot(of: "bar")

    private func mark(_ slot: KeySlot, _ position: String) -> String {
        "HSET {\(String(decoding: SlotTag.tag(of: slot), as: UTF8.self))}df2redis:mark:t 3 id \(position) 7 1"
    }

    @Test func `sends repeatable commands without a transaction, in order within each slot`() throws {
        let steps = split(["SELECT 0", "SET foo 1", "SET bar 2", "HSET {foo}2 a b", "DEL foo"], next: 10)
        let work = try #require(works(steps).first)
        #expect(steps.count == 1)
        #expect(try work.lines() == [foo: ["SET foo 1", "HSET {foo}2 a b", "DEL foo"], bar: ["SET bar 2"]])
        #expect(work.markedSlots.isEmpty)
    }

    @Test func `has a transaction with a mark only in slots with a command that may not be repeated`()
        throws
    {
        let work = try #require(works(split(["SET foo 1", "INCR foo", "SET bar 2"], next: 10)).first)
        #expect(
            try work.lines() == [
                foo: ["MULTI", "SET foo 1", "INCR foo", mark(foo, "10 0"), "EXEC"], bar: ["SET bar 2"],
            ])
        #expect(work.markedSlots == [foo])
    }

    @Test func `has marks without a position inside a snapshot`() throws {
        let work = try #require(works(split(["RPUSH foo 1"])).first)
        #expect(try work.lines()[foo]?[2] == mark(foo, "- -"))
    }

    @Test func `has commands of several keys divided by slot if that changes nothing`() throws {
        let work = try #require(
            works(split(["DEL foo bar {foo}2", "MSET foo 1 bar 2", "MSETNX bar 3 {foo}2 4"], next: 10)).first)
        #expect(
            try work.lines() == [
                foo: ["MULTI", "DEL foo {foo}2", "MSET foo 1", "MSET {foo}2 4", mark(foo, "10 0"), "EXEC"],
                bar: ["MULTI", "DEL bar", "MSET bar 2", "MSET bar 3", mark(bar, "10 0"), "EXEC"],
            ])
    }

    @Test func `sends commands without a key to every master`() throws {
        let work = try #require(works(split(["SCRIPT LOAD return"], masters: [KeySlot(0), KeySlot(8000)])).first)
        #expect(try work.lines() == [KeySlot(0): ["SCRIPT LOAD return"], KeySlot(8000): ["SCRIPT LOAD return"]])
    }

    @Test func `has the script that sets deadlines divided by slot`() throws {
        let batch = CommandBatch()
        var keys = ArgumentBuffer()
        var deadlines = ArgumentBuffer()
        for (key, deadline) in [("foo", 1), ("bar", 2), ("{foo}2", 3)] {
            keys.append(Array(key.utf8))
            deadlines.append(Int64(deadline))
        }
        batch.appendDeadlines(keys: keys, deadlines: deadlines, margin: 5, margins: [0, 5])
        batch.seal(checkpoint: nil)
        let steps = BatchSplitter(task: "t", flow: 0, replicationID: "id").steps(
            of: batch, masters: [], marks: SlotMarks(), stamp: stamp)
        let lines = try #require(works(steps).first).lines().mapValues { $0.map { String($0.suffix(22)) } }
        #expect(
            lines[foo]?.first?.hasSuffix(" 2 foo {foo}2 5 2 0 5 1 3") == true
                || lines[foo]?.first == "2 foo {foo}2 5 2 0 5 1 3".suffix(22).description)
        #expect(lines[bar]?.first?.hasSuffix("1 bar 5 2 0 5 2") == true)
    }

    @Test func `runs a command over several slots after all before it and before all after it`() throws {
        let steps = split(["INCR foo", "RENAME foo bar", "INCR foo"], next: 13)
        #expect(works(steps).count == 2)
        let crossing = try #require(crossings(steps).first)
        #expect(crossing.home == bar)
        #expect(crossing.lsn == 11)
        guard case .slots(let first) = steps[0], case .crossing = steps[1], case .slots(let last) = steps[2] else {
            throw LabError("a work, the command, a work")
        }
        #expect(try first.lines()[foo]?[2] == mark(foo, "11 1"))
        #expect(try last.lines()[foo]?[2] == mark(foo, "13 0"))
    }

    @Test func `treats a command with all its keys in one slot as an ordinary one`() throws {
        #expect(crossings(split(["RENAME foo {foo}2", "SUNIONSTORE {foo}1 foo {foo}2"], next: 3)).isEmpty)
    }

    // MARK: After a crash

    @Test func `leaves out what a slot's mark covers, and only in this slot`() throws {
        var marks = SlotMarks()
        marks.found(
            SlotMark(replicationID: "id", position: FlowPosition(lsn: 12), stamp: stamp()), in: foo, replicationID: "id"
        )
        let records = ["INCR foo", "INCR bar", "DEL foo bar", "INCR foo"]  // 10, 11, 12... of 4 records up to 14
        let work = try #require(works(split(records, next: 14, marks: marks)).first)
        let lines = try work.lines()
        // Records 10 and 11 are before 12.
        #expect(lines[foo]?.dropFirst().first == "DEL foo")
        #expect(lines[foo]?.count == 5)
        #expect(lines[bar] == ["MULTI", "INCR bar", "DEL bar", mark(bar, "14 0"), "EXEC"])
    }

    @Test func `ignores marks of another master and of a snapshot`() throws {
        var marks = SlotMarks()
        marks.found(
            SlotMark(replicationID: "other", position: FlowPosition(lsn: 99), stamp: stamp()), in: foo,
            replicationID: "id")
        marks.found(SlotMark(replicationID: "id", position: nil, stamp: stamp()), in: bar, replicationID: "id")
        #expect(!marks.areRelevant)
        #expect(marks.slots == [foo, bar])
    }

    @Test func `has marks that are read as they were written`() throws {
        for mark in [
            SlotMark(replicationID: "id", position: FlowPosition(lsn: 5, step: 3), stamp: stamp()),
            SlotMark(replicationID: "id", position: nil, stamp: stamp()),
        ] {
            #expect(SlotMark(mark.text) == mark)
        }
        for text in ["", "id 1 2 3", "id x 0 1 1", "id 1 0 1 1 1"] { #expect(SlotMark(text) == nil) }
    }

    @Test func `has parts that know their records`() throws {
        let batch = Stream(["INCR foo", "", "INCR bar; INCR bar", "INCR foo"], next: 20).batch
        let units = batch.units(batch.sizes())
        let (part, _) = batch.part(units[2...], isLast: true, replacing: [:])
        part.seal(checkpoint: nil)
        var positions: [UInt64?] = []
        part.visitPlaced { placed, reader in
            var reader = ByteReader(reader.bytes, offset: reader.offset)
            if reader.readBulkArgument()?.isWord("SELECT") == false { positions.append(placed.position?.lsn) }
        }
        #expect(positions == [18, 18, 19])
    }
}

@Suite struct `The work on slots` {
    private let foo = KeySlot(of: "foo")
    private let ok = NodeReply.outline(ReplyOutline(.simple))
    private let array = NodeReply.outline(ReplyOutline(.array(elements: 2, errors: 0)))

    private func work(_ lines: String..., next: UInt64? = 10) throws -> SlotWork {
        try #require(works(split(lines, next: next)).first)
    }

    /// Sends the part and gives all but the named replies a fine answer.
    @discardableResult
    private func answer(
        _ work: SlotWork, _ part: Int = 0, _ errors: [Int: String] = [:], elements: [Int: String] = [:],
        asking: Bool = false
    ) -> [NodeExpectation] {
        var out = ByteBuffer()
        var expected: [NodeExpectation] = []
        work.send(part, asking: asking, into: &out, &expected)
        for (place, expectation) in expected.enumerated() {
            if expectation.kind == .exec, errors[place] == nil {
                for element in 0..<Int(expectation.replies) {
                    let reply = elements[element].map { NodeReply.error($0) } ?? ok
                    _ = work.receive(reply, for: expectation, element: element, reading)
                }
            }
            _ = work.receive(errors[place].map { .error($0) } ?? ok, for: expectation, reading)
        }
        return expected
    }

    @Test func `is done when all commands have been answered`() throws {
        let plain = try work("SET foo 1", "DEL foo")
        answer(plain)
        #expect(plain.isDone && plain.unexpectedReplies.isEmpty)
        let transaction = try work("INCR foo", "APPEND foo x")
        answer(transaction, elements: [1: "WRONGTYPE Operation"])
        #expect(transaction.isDone)
        #expect(transaction.unexpectedReplies == [.init(command: 1, kind: .error("WRONGTYPE Operation"))])
    }

    @Test func `sends a redirected command again with all that follow it in its slot`() throws {
        let work = try work("SET foo 1", "SET {foo}2 2", "SET foo 3")
        answer(work, 0, [1: "MOVED 12182 h:2"])
        #expect(!work.isDone)
        #expect(work.retries[0]?.cause == .redirected(.moved(foo, Endpoint(host: "h", port: 2))))
        #expect(try work.lines()[foo] == ["SET {foo}2 2", "SET foo 3"])
    }

    private let asks = "ASK 12182 h:2"

    @Test func `sends only the commands that were redirected by ASK with ASKING`() throws {
        let lines = ["SET foo 1", "SET {foo}2 2", "SET foo 3", "DEL {foo}2", "SET {foo}3 1"]
        let work = try #require(works(split(lines, next: 10)).first)
        answer(work, 0, [1: asks, 3: asks])
        #expect(!work.isDone)
        #expect(work.retries[0]?.cause == .redirected(.ask(foo, Endpoint(host: "h", port: 2))))
        #expect(try work.lines(asking: true)[foo] == ["ASKING", "SET {foo}2 2", "ASKING", "DEL {foo}2"])
        work.lost(0)
        #expect(try work.lines()[foo] == lines, "after a loss all of it is in doubt")
        work.lost(0)
        answer(work, 0, [1: asks, 3: asks])
        answer(work, 0, asking: true)
        #expect(work.isDone && work.unexpectedReplies.isEmpty)
    }

    @Test func `repeats at the slot's master what follows a redirected command of several keys`() throws {
        let work = try work("DEL foo", "MSET foo 1 {foo}2 2", "SET {foo}2 3", "SET {foo}3 4")
        answer(work, 0, [0: asks, 1: asks])
        let asked = ["ASKING", "DEL foo", "ASKING", "MSET foo 1 {foo}2 2"]
        #expect(try work.lines(asking: true)[foo] == asked)
        work.lost(0)
        answer(work, 0, [0: asks, 1: asks])
        answer(work, 0, asking: true)
        #expect(!work.isDone && work.retries[0] == nil)
        #expect(try work.lines()[foo] == ["SET {foo}2 3", "SET {foo}3 4"])
    }

    @Test func `sends all from another error on to the master once the redirected commands are done`() throws {
        for text in ["MOVED 12182 h:3", "TRYAGAIN Multiple keys", "ASK 12182 h:9", "LOADING the data set"] {
            let work = try work("SET foo 1", "SET {foo}2 2", "SET {foo}3 3")
            answer(work, 0, [0: asks, 1: text])
            answer(work, 0, asking: true)
            #expect(try work.lines()[foo] == ["SET {foo}2 2", "SET {foo}3 3"], "\(text)")
        }
    }

    @Test func `sends a command that the destination refuses to the master, with all that follow it`() throws {
        let work = try work("SET foo 1", "SET {foo}2 2", "SET {foo}3 3", "SET {foo}2 4")
        answer(work, 0, [0: asks, 1: asks, 3: asks])
        answer(work, 0, [3: "MOVED 12182 h:1"], asking: true)
        #expect(work.retries[0]?.cause == .redirected(.moved(foo, Endpoint(host: "h", port: 1))))
        #expect(try work.lines()[foo] == ["SET {foo}2 2", "SET {foo}3 3", "SET {foo}2 4"])
        // The same if nothing was sent with ASKING.
        let other = try self.work("SET foo 1", "SET {foo}2 2", "SET {foo}3 3")
        answer(other, 0, [1: asks])
        #expect(try other.lines()[foo] == ["SET {foo}2 2", "SET {foo}3 3"])
    }

    @Test func `reports real errors among redirections`() throws {
        let work = try work("SET foo 1", "HSET {foo}2 f v", "SET {foo}3 3")
        answer(work, 0, [0: asks, 1: "WRONGTYPE Operation"])
        answer(work, 0, asking: true)
        #expect(work.isDone)
        #expect(work.unexpectedReplies == [.init(command: 1, kind: .error("WRONGTYPE Operation"))])
    }

    @Test func `selects the database for redirected commands, and again for those that follow`() throws {
        let lines = ["SET foo 1", "SELECT 1", "SET foo 2", "SELECT 2", "DEL foo {foo}2", "SET {foo}2 3"]
        let work = try #require(works(split(lines, next: 10)).first)
        answer(work, 0, [2: asks])
        #expect(try work.lines(asking: true)[foo] == ["SELECT 1", "ASKING", "SET foo 2", "SELECT 0"])
        work.lost(0)
        answer(work, 0, [4: asks])
        answer(work, 0, asking: true)
        #expect(try work.lines()[foo] == ["SELECT 2", "SET {foo}2 3", "SELECT 0"])
    }

    @Test func `sends a transaction again as a whole, also if only EXEC is refused`() throws {
        for (place, text) in [(1, "MOVED 12182 h:2"), (3, "TRYAGAIN Multiple keys request during rehashing of slot")] {
            let work = try work("INCR foo")
            answer(work, 0, place == 1 ? [1: text, 3: "EXECABORT Transaction discarded"] : [3: text])
            #expect(work.state(of: 0) == .ready)
            #expect(work.retries[0]?.attempts == 1)
            #expect(try work.lines(asking: true)[foo]?.prefix(2) == ["ASKING", "MULTI"])
        }
    }

    @Test func `leaves out a command that a node refuses to queue, and does the rest of its slot`() throws {
        let work = try work("INCR foo", "NOSUCH foo", "INCR foo")
        answer(work, 0, [2: "ERR unknown command", 5: "EXECABORT Transaction discarded"])
        #expect(work.unexpectedReplies == [.init(command: 1, kind: .error("ERR unknown command"))])
        #expect(try work.lines()[foo]?.filter { $0.hasPrefix("INCR") }.count == 2)
        #expect(work.state(of: 0) == .sent)
    }

    @Test func `does nothing of a transaction for which a right is missing`() throws {
        let work = try work("INCR foo", "APPEND foo x")
        answer(work, 0, [1: "NOPERM this user", 4: "EXECABORT Transaction discarded"])
        #expect(work.isDone && work.isForbidden)
        #expect(work.unexpectedReplies.map(\.command) == [0])
    }

    @Test func `ends if the right for a command that a script calls is missing`() throws {
        let text = "ERR The user executing the script can't run this command or subcommand"
        let work = try work("EVAL script 1 foo", "APPEND foo x")
        answer(work, elements: [0: text])
        #expect(work.isDone && work.isForbidden)
        #expect(work.unexpectedReplies == [.init(command: 0, kind: .error(text))])
    }

    @Test func `does the rest of a transaction if only the right to load scripts is missing`() throws {
        let work = try #require(works(split(["INCR foo", "SCRIPT LOAD return"], next: 10, masters: [foo])).first)
        answer(work, 0, [2: "NOPERM this user", 4: "EXECABORT Transaction discarded"])
        #expect(!work.isForbidden && !work.isDone)
        #expect(work.unexpectedReplies == [.init(command: 1, kind: .error("NOPERM this user"))])
        #expect(try work.lines()[foo]?.dropLast(2) == ["MULTI", "INCR foo"])
    }

    @Test func `waits for the end of a transient state`() throws {
        let work = try work("SET foo 1")
        answer(work, 0, [0: "OOM command not allowed"])
        #expect(work.retries[0]?.cause == .passing("OOM command not allowed"))
        #expect(work.state(of: 0) == .ready)
    }

    @Test func `learns after a loss from the mark whether a transaction was applied`() throws {
        for isApplied in [false, true] {
            let work = try work("INCR foo")
            _ = try work.lines()
            work.lost(0)
            #expect(work.state(of: 0) == .inDoubt)
            var out = ByteBuffer()
            var expected: [NodeExpectation] = []
            work.send(0, asking: false, into: &out, &expected)
            #expect(expected.map(\.kind) == [.question])
            let text = isApplied ? "id 10 0 7 1" : "id 9 0 7 0"
            _ = work.receive(.value(.bulk(Array(text.utf8))), for: expected[0], reading)
            #expect(work.isDone == isApplied)
            #expect(work.state(of: 0) == (isApplied ? .done : .ready))
        }
    }

    @Test func `blames a request after which nodes closed their connection twice, with its longest argument`() throws {
        for lines in [["INCR foo", "APPEND foo 1234567"], ["SET foo 1", "SET foo 1234567"]] {
            let work = try #require(works(split(lines, next: 10)).first)
            let isTransaction = work.isTransaction(0)
            for attempt in 1...2 {
                var out = ByteBuffer()
                var expected: [NodeExpectation] = []
                work.send(0, asking: false, into: &out, &expected)
                #expect(work.complained(about: expected[isTransaction ? 2 : 1]) == (attempt == 2 ? 7 : nil))
                if isTransaction {
                    // What is no command of the batch is never blamed.
                    for place in [0, 3, 4] { #expect(work.complained(about: expected[place]) == nil) }
                    work.lost(0)
                    work.send(0, asking: false, into: &out, &expected)
                    _ = work.receive(.value(.bulk(nil)), for: expected[5], reading)
                } else {
                    work.lost(0)
                }
                #expect(work.state(of: 0) == .ready && work.unexpectedReplies.isEmpty)
            }
        }
    }

    @Test func `asks for a mark again if the question is redirected`() throws {
        let work = try work("INCR foo")
        _ = try work.lines()
        work.lost(0)
        var out = ByteBuffer()
        var expected: [NodeExpectation] = []
        work.send(0, asking: false, into: &out, &expected)
        #expect(work.receive(.error("MOVED 12182 h:2"), for: expected[0], reading) == 0)
        #expect(work.state(of: 0) == .inDoubt)
    }

    @Test func `ignores errors of repeated commands that meet the effects of later ones`() throws {
        let work = try work("SADD foo a", "DEL foo", "HSET foo f v")
        answer(work)
        #expect(work.isDone)
        // The node's mark had not come: its successor may lack it.
        work.lost(0)
        #expect(!work.isDone)
        answer(work, 0, [0: "WRONGTYPE Operation"])
        #expect(work.isDone && work.unexpectedReplies.isEmpty)
    }

    @Test func `fails if a mark cannot be written`() throws {
        let work = try work("INCR foo")
        answer(work, 0, [2: "ERR unknown command", 3: "EXECABORT Transaction discarded"])
        #expect(work.failure != nil)
    }
}

@Suite struct `A command over several slots` {
    private let foo = KeySlot(of: "foo")
    private let bar = KeySlot(of: "bar")

    /// What the steps send, with answers by command: payload and deadline of each key that is asked for.
    private func script(
        _ line: String, answers: [String: (String, Int64)], marks: SlotMarks = SlotMarks(),
        limits: TargetLimits = TargetLimits(), stopAfter: Int = 9, onEnd: (CrossSlotCommand) throws -> Void = { _ in }
    ) throws -> [[String]] {
        let crossing = try #require(crossings(split([line], next: 5, marks: marks)).first)
        crossing.limits = limits
        var steps: [[String]] = []
        while steps.count < stopAfter, let work = crossing.next(stamp: stamp) {
            var sent: [String] = []
            for part in 0..<work.partCount {
                var out = ByteBuffer()
                var expected: [NodeExpectation] = []
                work.send(part, asking: false, into: &out, &expected)
                let bytes = out.withUnsafeBytes { Array($0) }
                var reader = ByteReader(bytes.span.bytes)
                for expectation in expected {
                    let words = try #require(try reader.readRESPValue()?.array).map { $0.text ?? "?" }
                    sent.append(words.joined(separator: " "))
                    let key = words.count > 1 ? String(words[1].split(separator: ":").last ?? "") : ""
                    let answer = words.count > 1 ? answers[words[1].contains("tmp") ? "tmp\(key)" : words[1]] : nil
                    var value = RESPValue.simple("OK")
                    if words[0] == "DUMP" { value = .bulk(answer.map { Array($0.0.utf8) }) }
                    if words[0] == "PEXPIRETIME" { value = .integer(answer?.1 ?? -2) }
                    if expectation.kind == .exec {
                        for element in 0..<Int(expectation.replies) {
                            _ = work.receive(
                                .outline(ReplyOutline(.simple)), for: expectation, element: element, reading)
                        }
                    }
                    let reply = expectation.wantsValue ? NodeReply.value(value) : .outline(ReplyOutline(.simple))
                    _ = work.receive(reply, for: expectation, reading)
                }
            }
            #expect(work.isDone)
            crossing.finished(work)
            steps.append(sent)
        }
        try onEnd(crossing)
        return steps
    }

    private func tag(_ slot: KeySlot) -> String { "{\(String(decoding: SlotTag.tag(of: slot), as: UTF8.self))}" }

    private func mark(_ slot: KeySlot) -> String { "HSET \(tag(slot))df2redis:mark:t 3 id 4 2 7 1" }

    @Test func `reads the other keys, and runs with copies of them in one transaction`() throws {
        let copy = "\(tag(bar))df2redis:tmp:t:3:0"
        #expect(
            try script("SUNIONSTORE bar foo {bar}2", answers: ["foo": ("PAYLOAD", 77)]) == [
                ["DUMP foo", "PEXPIRETIME foo"],
                [
                    "MULTI", "RESTORE \(copy) 0 PAYLOAD REPLACE ABSTTL", "SUNIONSTORE bar \(copy) {bar}2",
                    "UNLINK \(copy)",
                    mark(bar), "EXEC",
                ],
            ])
    }

    @Test func `copies a key with its deadline, and leaves a missing key missing`() throws {
        let copy = "\(tag(bar))df2redis:tmp:t:3:0"
        let steps = try script("COPY foo bar REPLACE", answers: ["foo": ("PAYLOAD", 77)])
        #expect(steps[1][1] == "RESTORE \(copy) 77 PAYLOAD REPLACE ABSTTL")
        #expect(try script("COPY foo bar REPLACE", answers: [:])[1][1] == "UNLINK \(copy)")
    }

    @Test func `writes back the keys that the command has changed`() throws {
        let copy = "\(tag(bar))df2redis:tmp:t:3:0"
        let steps = try script("SMOVE foo bar m", answers: ["foo": ("BEFORE", -1), "tmp0": ("AFTER", -1)])
        #expect(
            steps == [
                ["DUMP foo", "PEXPIRETIME foo"],
                ["MULTI", "RESTORE \(copy) 0 BEFORE REPLACE ABSTTL", "SMOVE \(copy) bar m", mark(bar), "EXEC"],
                ["DUMP \(copy)", "PEXPIRETIME \(copy)"],
                ["MULTI", "RESTORE foo 0 AFTER REPLACE ABSTTL", mark(foo), "EXEC"],
            ])
        let crossing = try #require(crossings(split(["SMOVE foo bar m"], next: 5)).first)
        #expect(try crossing.cleanup()?.lines() == [bar: ["UNLINK \(copy)"]])
        #expect(crossings(split(["SUNIONSTORE bar foo"], next: 5)).first?.cleanup() == nil)
        #expect(
            try script("RENAME foo bar", answers: ["foo": ("BEFORE", 9)])[3] == [
                "MULTI", "UNLINK foo", mark(foo), "EXEC",
            ])
    }

    @Test func `is not started with a value that is too large for the target`() throws {
        let answers = ["foo": ("PAYLOAD", Int64(-1))]
        var limits = TargetLimits(argumentBytes: 7)
        let within = try script("RENAME foo bar", answers: answers, limits: limits) { #expect($0.refusal == nil) }
        #expect(within.count > 1)
        limits.argumentBytes = 6
        let steps = try script("RENAME foo bar", answers: answers, limits: limits) {
            let excess = TargetLimits.Excess.argument(bytes: 7, limit: 6)
            #expect($0.refusal == .init(command: 0, kind: .tooLarge(excess)))
            #expect($0.cleanup() == nil)
        }
        #expect(steps == [["DUMP foo", "PEXPIRETIME foo"]], "nothing is changed anywhere")
    }

    @Test func `continues with the step at which the marks show that it was interrupted`() throws {
        func marks(_ slots: KeySlot...) -> SlotMarks {
            var marks = SlotMarks()
            for slot in slots {
                let mark = SlotMark(replicationID: "id", position: FlowPosition(lsn: 4, step: 2), stamp: stamp())
                marks.found(mark, in: slot, replicationID: "id")
            }
            return marks
        }
        let answers = ["foo": ("BEFORE", Int64(-1)), "tmp0": ("AFTER", -1)]
        func steps(_ marks: SlotMarks) throws -> [String] {
            try script("SMOVE foo bar m", answers: answers, marks: marks).map { String($0[0].prefix(4)) }
        }
        #expect(try steps(marks(bar)) == ["DUMP", "MULT"])
        // All is done.
        #expect(try steps(marks(foo, bar)) == ["DUMP"])
        // It was done, and its home slot has lost it.
        #expect(crossings(split(["SMOVE foo bar m"], next: 5, marks: marks(foo))).first?.isPartlyApplied == true)
        #expect(crossings(split(["SMOVE foo bar m"], next: 5, marks: marks(bar))).first?.isPartlyApplied == false)
        #expect(try script("SUNIONSTORE bar foo", answers: answers, marks: marks(bar)).isEmpty)
    }
}
