import Redis
import Testing

@testable import Replication

private typealias Script = FlowScript

extension CommandBatch {
    fileprivate var checkpoint: String? { checkpointValue.map { String(decoding: $0, as: UTF8.self) } }
}

/// Several batches of a snapshot's whole values in flight.
@Suite struct `A flow's state machine with several batches in flight` {
    private static func name(_ number: Int) -> String { "snapshot id SYNC1 \(number)" }

    /// A full sync with `count` batches of values in flight, and another one that is full.
    private func script(_ count: Int = 3) -> (script: Script, batches: [CommandBatch]) {
        let script = Script(at: nil)
        script.linkUp(nil)
        script.expect("decode")
        script.decoded(.more)
        script.batchState = .init(isFull: true, hasContent: true, mayFollow: true)
        script.expect("send")
        let first = script.valueBatch()
        script.send(first)
        var batches = [first]
        for _ in 1..<count {
            script.expect("send")
            batches.append(script.valueBatch())
            script.join(batches[batches.count - 1])
        }
        script.batchState.mayFollow = false
        script.expect("wait")
        return (script, batches)
    }

    @Test func `sends more while there is room, and an ordered batch only when nothing else is in flight`() {
        let (script, batches) = script()
        script.complete(batches[0])
        script.expect("wait")
        script.batchState.mayFollow = true
        script.expect("send")
        let next = script.valueBatch()
        script.join(next)
        script.batchState.mayFollow = false
        for batch in batches.dropFirst() {
            script.complete(batch)
            script.expect("wait")
        }
        script.complete(next)
        script.expect("send")
        #expect(script.confirmed == Self.name(4))
    }

    @Test func `sends nothing while an ordered batch is in flight`() {
        let script = Script(at: nil)
        script.linkUp(nil)
        script.expect("decode")
        script.decoded(.more)
        script.batchState = .init(isFull: true, hasContent: true, mayFollow: true)
        script.expect("send")
        let batch = CommandBatch()
        batch.append("SET", Array("k".utf8), Array("v".utf8))
        batch.noteUnordered()
        batch.append("RPUSH", Array("l".utf8), Array("v".utf8))
        #expect(!batch.isUnordered)
        script.send(batch)
        script.expect("wait")
    }

    @Test func `resends a batch that was refused while others were in flight, alone and before anything else`() {
        let (script, batches) = script()
        script.holdBack()
        script.complete(batches[1])
        script.batchState.mayFollow = true
        script.expect("wait")
        script.complete(batches[2])
        script.expect("send again \(Self.name(1))")
        script.send(batches[0])
        // It was the last of them, so others may follow it.
        script.expect("send")
        script.batchState.mayFollow = false
        script.complete(batches[0])
        #expect(script.confirmed == Self.name(1))
        script.expect("send")
    }

    @Test func `resends the batch that was turned away first, and the refused ones after it`() {
        let (script, batches) = script()
        script.holdBack()
        script.holdBack()
        script.refuseTemporarily(batches[2])
        script.expect("report targetLost", "connect after 1", "wait")
        script.linkUp(nil)
        script.expect("resend: unrelated")
        script.send(batches[2])
        script.complete(batches[2])
        script.expect("report targetFound", "send again \(Self.name(1))")
        script.send(batches[0])
        script.complete(batches[0])
        script.expect("send again \(Self.name(2))")
    }

    @Test(arguments: [nil, 1, 2, 3] as [Int?])
    func `resends the batches that were in flight at a lost connection, one by one`(_ found: Int?) {
        let (script, batches) = script()
        script.lose()
        script.expect("report targetLost", "connect after 0", "wait")
        script.linkUp(found.map(Self.name))
        if found == 1 {
            script.expect("confirmInDoubt")
        } else {
            script.expect("resend: silence")
            script.send(batches[0])
        }
        script.expect("wait")
        script.complete(batches[0])
        script.expect("report targetFound")
        for (number, batch) in batches.enumerated().dropFirst() {
            script.expect("send again \(Self.name(number + 1))")
            script.send(batch)
            script.expect("wait")
            script.complete(batch)
        }
        script.expect("send")
        // An error would come from the value itself, not from a repetition.
        #expect(batches.allSatisfy { !$0.mayHaveBeenApplied })
    }

    @Test func `recognizes the target if another connection is lost during the resending`() {
        let (script, batches) = script()
        script.lose()
        script.expect("report targetLost", "connect after 0")
        script.linkUp(Self.name(3))
        script.expect("resend: silence")
        script.send(batches[0])
        script.lose(losses: 1)
        script.expect("connect after 1")
        script.linkUp(Self.name(3))
        script.expect("resend: silence")
        script.send(batches[0])
        script.complete(batches[0])
        script.expect("report targetFound", "send again \(Self.name(2))")
        script.send(batches[1])
        script.lose()
        script.expect("report targetLost", "connect after 0")
        script.linkUp(Self.name(1))
        script.expect("resend: silence")
    }

    @Test(arguments: [nil, "snapshot id SYNC1 9", "snapshot id SYNC0 3"])
    func `ends if the target has another checkpoint`(_ found: String?) {
        let (script, batches) = script()
        script.complete(batches[0])
        script.expect("wait")
        script.lose()
        script.expect("report targetLost", "connect after 0")
        script.linkUp(found)
        script.expect(
            "report failed: the target came back with other data: its checkpoint is \(found.map { "\"\($0)\"" } ?? "gone")",
            "wait")
    }

    @Test func `becomes quiet when all batches are answered, and resends a refused one after the release`() {
        let (script, batches) = script()
        script.quiesce()
        script.batchState.mayFollow = true
        script.expect("wait")
        script.holdBack()
        script.complete(batches[1])
        script.complete(batches[2])
        script.expect("becameQuiet", "wait")
        #expect(script.hasMore())
        script.release()
        script.expect("send again \(Self.name(1))")
    }
}
