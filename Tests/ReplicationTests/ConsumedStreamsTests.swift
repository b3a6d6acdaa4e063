import Dragonfly
import Testing

@testable import Replication

@Suite struct `The streams that consumers read without a record` {
    private func key(_ name: String) -> RefreshKey { RefreshKey(database: 0, key: Array(name.utf8)) }

    @Test func `are all known after a full sync, and after a walk`() {
        let streams = ConsumedStreams()
        streams.begin(isNeeded: true, isFullSync: true)
        streams.note(key("a"), flow: FlowID(0))
        streams.note(key("a"), flow: FlowID(0))
        #expect(!streams.beginWalk())
        #expect(streams.figures.isComplete)
        #expect(streams.requests == [RefreshRequest(key("a"), flow: FlowID(0), origin: .group)])
        // The next session resumes in the same process.
        streams.begin(isNeeded: true, isFullSync: false)
        #expect(!streams.beginWalk())
        #expect(streams.figures.count == 1)

        let resumed = ConsumedStreams()
        resumed.begin(isNeeded: true, isFullSync: false)
        #expect(!resumed.figures.isComplete)
        #expect(resumed.beginWalk())
        #expect(resumed.figures.isWalking)
        resumed.endWalk(isComplete: false)
        #expect(!resumed.figures.isComplete)
        #expect(resumed.beginWalk())
        resumed.endWalk(isComplete: true)
        #expect(resumed.figures.isComplete)
    }

    @Test func `are bounded in number and bytes, and those left out are counted`() {
        let streams = ConsumedStreams(mostKeys: 2, mostBytes: 6)
        streams.begin(isNeeded: true, isFullSync: true)
        for name in ["aaa", "long name", "bbb", "c"] { streams.note(key(name), flow: FlowID(0)) }
        streams.note(key("d"), flow: nil)
        #expect(streams.figures.count == 2)
        #expect(streams.figures.leftOut == 3)
    }

    @Test func `are none if each read leaves a record`() {
        let streams = ConsumedStreams()
        streams.begin(isNeeded: false, isFullSync: false)
        streams.note(key("a"), flow: FlowID(0))
        #expect(!streams.beginWalk())
        #expect(streams.figures.isComplete)
        #expect(streams.requests.isEmpty)
    }

    @Test func `are also known under a new name`() throws {
        let streams = ConsumedStreams()
        streams.begin(isNeeded: true, isFullSync: true)
        let scene = EncoderScene(
            protocolVersion: 4,
            context: {
                $0.consumedStreams = streams
                $0.refreshes = nil
            })
        scene.becomeStable()
        for line in ["XGROUP CREATE a g 0", "RENAME a b", "MOVE b 5", "RENAME other unlike"] {
            try scene.journal(line, inSnapshot: false)
        }
        #expect(
            Set(streams.requests.map(\.key)) == [key("a"), key("b"), RefreshKey(database: 5, key: Array("b".utf8))])
        #expect(streams.requests.allSatisfy { $0.flow == FlowID(0) })
    }
}
