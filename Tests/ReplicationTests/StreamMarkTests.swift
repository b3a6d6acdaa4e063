import Dragonfly
import Redis
import Testing

@testable import Replication

private typealias Script = FlowScript

extension CommandBatch {
    fileprivate var checkpoint: String? { checkpointValue.map { String(decoding: $0, as: UTF8.self) } }
}

/// Writes that do not move the position: values that were read at the source, deadlines, expired elements.
@Suite struct `What a flow writes beside the stream` {
    @Test(arguments: [false, true])
    func `is confirmed or resent after a loss, although it does not move the position`(_ isApplied: Bool) throws {
        let (script, first) = Script.sending()
        script.complete(first)
        script.expect("wait")
        let batch = script.refreshBatch()
        script.batchState.hasContent = true
        script.now += .seconds(1)
        script.resume()
        script.expect("send")
        script.send(batch)
        script.batchState.hasContent = false
        script.expect("wait")
        #expect(script.confirmed == batch.checkpoint)
        #expect(batch.progress.outOfStreamCount == 1)
        script.lose()
        script.expect("report targetLost", "connect after 0")
        script.linkUp(batch.checkpoint, outOfStreamCount: isApplied ? 1 : 0)
        script.expect(isApplied ? "confirmInDoubt" : "resend: silence")
    }

    private static let outOfStreamWritesLost =
        "report failed: the target came back without the last of what was written beside the stream: values that were read at the source, TTLs"

    @Test(arguments: [false, true])
    func `ends the flow if the target has lost only that`(_ isInDoubt: Bool) {
        let (script, first) = Script.sending()
        script.complete(first)
        script.expect("wait")
        for number in 1...2 {
            let batch = script.refreshBatch()
            script.batchState.hasContent = true
            script.now += .seconds(1)
            script.resume()
            script.expect("send")
            script.send(batch)
            script.batchState.hasContent = false
            script.expect("wait")
            if number == 1 || !isInDoubt {
                script.complete(batch)
                script.expect("wait")
            }
        }
        script.lose()
        if isInDoubt { script.expect("report targetLost") }
        script.expect(isInDoubt ? "connect after 0" : "connect after 0 at once")
        script.linkUp(script.confirmed, outOfStreamCount: isInDoubt ? 0 : 1)
        script.expect(Self.outOfStreamWritesLost, "wait")
    }

    @Test func `must be complete at the target for the flow to begin`() {
        let script = Script(at: 5, outOfStreamCount: 3)
        script.linkUp(script.confirmed, outOfStreamCount: 3)
        script.expect("decode")
        #expect(script.refreshBatch().progress.outOfStreamCount == 4)
        let other = Script(at: 5, outOfStreamCount: 3)
        other.linkUp(other.confirmed, outOfStreamCount: 2)
        other.expect(Self.outOfStreamWritesLost, "wait")
    }

    @Test func `lets the flow begin at a position in the spelling of an earlier version`() {
        let script = Script(at: 5)
        script.linkUp(script.confirmed?.replacing(" 5", with: " 05"))
        script.expect("decode")
    }
}
