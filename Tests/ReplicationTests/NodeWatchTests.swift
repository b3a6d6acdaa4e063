import Link
import Redis
import Testing

@testable import Replication

@Suite struct `The watch for cluster nodes that lost confirmed writes` {
    private static let a = Endpoint(host: "a", port: 1)
    private static let b = Endpoint(host: "b", port: 1)

    /// - Parameter first: the node of slots 0 to 99, of 100 to 199.
    private func topology(_ first: Endpoint, _ second: Endpoint, moved: Bool = false) -> ClusterTopology {
        ClusterTopology([
            .init(master: .init(id: first.host, endpoint: first), slots: moved ? [50...99] : [0...99]),
            .init(master: .init(id: second.host, endpoint: second), slots: moved ? [0...49, 100...199] : [100...199]),
        ])
    }

    private func mark(_ number: UInt64, epoch: UInt64 = 1) -> SlotMark {
        SlotMark(replicationID: "id", position: FlowPosition(lsn: 5), stamp: FlowStamp(epoch: epoch, number: number))
    }

    private func watched() -> NodeWatch {
        var watch = NodeWatch()
        let topology = topology(Self.a, Self.b)
        for (endpoint, number) in [(Self.a, UInt64(1)), (Self.b, 2)] {
            let slot = watch.slot(at: endpoint, in: topology)
            #expect(slot == KeySlot(endpoint == Self.a ? 0 : 100))
            watch.sent(mark(number).stamp, to: endpoint, in: slot ?? KeySlot(0), of: topology)
            watch.confirmed(at: endpoint, in: topology)
        }
        return watch
    }

    @Test
    func `a flow goes back to an older mark of the same source, never forward and not over a command of several slots`()
    {
        let older = NodeWatch.Verdict.older(mark(1))
        #expect(older.restart(of: "id", before: 9, after: nil) == 5)
        #expect(older.restart(of: "id", before: 3, after: nil) == 3)
        #expect(older.restart(of: "other", before: 9, after: nil) == nil)
        #expect(older.restart(of: "id", before: 9, after: CrossingNote(lsn: 4)) == 5)
        #expect(older.restart(of: "id", before: 9, after: CrossingNote(lsn: 5)) == nil)
        for verdict in [NodeWatch.Verdict.older(nil), .lacksUnrepeatable(mark(1)), .doubtful, .ahead, .complete] {
            #expect(verdict.restart(of: "id", before: 9, after: nil) == nil)
        }
    }

    @Test func `a node with the last mark or a later one is complete, and one with an older mark is not`() {
        var watch = watched()
        #expect(watch.expectedSlots == [KeySlot(0), KeySlot(100)])
        #expect(watch.check(mark(1), in: KeySlot(0), of: topology(Self.a, Self.b)) == .complete)
        #expect(watch.check(mark(0, epoch: 2), in: KeySlot(0), of: topology(Self.a, Self.b)) == .complete)
        watch.sent(mark(4).stamp, to: Self.a, in: KeySlot(0), of: topology(Self.a, Self.b))
        watch.confirmed(at: Self.a, in: topology(Self.a, Self.b))
        #expect(watch.check(mark(3), in: KeySlot(0), of: topology(Self.a, Self.b)) == .older(mark(3)))
        #expect(watch.check(nil, in: KeySlot(100), of: topology(Self.a, Self.b)) == .older(nil))
        #expect(watch.check(nil, in: KeySlot(7), of: topology(Self.a, Self.b)) == .complete)
    }

    @Test func `the first mark of a node replaces none, and any later one does`() {
        var watch = NodeWatch()
        let topology = topology(Self.a, Self.b)
        #expect(watch.replacedSlot(at: Self.a) == nil)
        for number in UInt64(1)...2 {
            watch.sent(mark(number).stamp, to: Self.a, in: KeySlot(0), of: topology)
        }
        #expect(watch.replacedSlot(at: Self.a) == nil)
        watch.confirmed(at: Self.a, in: topology)
        #expect(watch.replacedSlot(at: Self.a) == KeySlot(0))
        #expect(watch.replacedSlot(at: Self.b) == nil)
        watch.confirmed(at: Self.a, in: topology)
        #expect(watch.replacedSlot(at: Self.a) == nil, "nothing is on its way")
        // The same holds for the next process, which has found the mark.
        var next = NodeWatch(text: watch.text)
        next.sent(mark(1, epoch: 2).stamp, to: Self.a, in: KeySlot(0), of: topology)
        #expect(next.replacedSlot(at: Self.a) == KeySlot(0))
    }

    @Test func `expected marks are read as they are stored`() {
        let watch = watched()
        #expect(NodeWatch(text: watch.text).text == watch.text)
        #expect(NodeWatch(text: watch.text).lastEpoch == 1)
        #expect(NodeWatch(text: watch.text).expectedSlots == [KeySlot(0), KeySlot(100)])
        #expect(NodeWatch(text: "x 1:2 99999:1:1:a:1 1:1:1:a:x").expectedSlots.isEmpty)
    }

    @Test func `a promoted replica is asked for its master's mark`() {
        let promoted = Endpoint(host: "c", port: 1)
        #expect(watched().questions(to: promoted, in: topology(promoted, Self.b)) == [KeySlot(0)])
    }

    @Test
    func
        `a master whose marked slot has moved away gets a new mark, and a newer mark replaces a received one`()
    {
        var watch = watched()
        let moved = topology(Self.a, Self.b, moved: true)
        #expect(watch.unmarked(in: moved) == [Self.a])
        #expect(watch.questions(to: Self.b, in: moved) == [KeySlot(0), KeySlot(100)])
        #expect(watch.slot(at: Self.a, in: moved) == KeySlot(50))
        watch.sent(mark(3).stamp, to: Self.a, in: KeySlot(50), of: moved)
        watch.confirmed(at: Self.a, in: moved)
        #expect(watch.expectedSlots == [KeySlot(0), KeySlot(50), KeySlot(100)])
        watch.sent(mark(4).stamp, to: Self.b, in: KeySlot(100), of: moved)
        watch.confirmed(at: Self.b, in: moved)
        #expect(watch.expectedSlots == [KeySlot(50), KeySlot(100)])
        // The old mark is still there, and is removed with the others in the end, perhaps by another process.
        #expect(watch.markedSlots == [KeySlot(0)] + watch.expectedSlots.filter { $0 != KeySlot(0) })
        #expect(NodeWatch(text: watch.text).markedSlots == watch.markedSlots)
        #expect(NodeWatch(text: watch.text).text == watch.text)
    }

    @Test func `slots that moved to a master shortly before its replica was promoted may have lost their keys`() {
        let watch = watched()
        let promoted = Endpoint(host: "c", port: 1)
        // The promoted node has the same slots: everything written there is there.
        #expect(watch.check(mark(2), in: KeySlot(100), of: topology(Self.a, promoted)) == .complete)
        #expect(watch.check(mark(2), in: KeySlot(100), of: topology(Self.a, promoted, moved: true)) == .doubtful)
        // There is no failover, or none of this node.
        #expect(watch.check(mark(2), in: KeySlot(100), of: topology(Self.a, Self.b, moved: true)) == .complete)
        #expect(watch.check(mark(1), in: KeySlot(0), of: topology(Self.a, Self.b, moved: true)) == .complete)
        // Its mark has gone to another node, and then it was replaced.
        #expect(watch.check(mark(1), in: KeySlot(0), of: topology(promoted, Self.b, moved: true)) == .doubtful)
    }

    @Test func `an older mark of a node is not enough for slots that have moved to it since`() {
        var watch = watched()
        let moved = topology(Self.a, Self.b, moved: true)
        let promoted = topology(Self.a, Endpoint(host: "c", port: 1), moved: true)
        for number in UInt64(3)...5 {
            watch.sent(mark(number).stamp, to: Self.b, in: KeySlot(100), of: moved)
            watch.confirmed(at: Self.b, in: moved)
        }
        for watch in [watch, NodeWatch(text: watch.text)] {
            #expect(watch.text == NodeWatch(text: watch.text).text)
            #expect(watch.check(mark(5), in: KeySlot(100), of: promoted) == .complete)
            #expect(watch.check(mark(4), in: KeySlot(100), of: promoted) == .older(mark(4)))
            #expect(watch.check(mark(3), in: KeySlot(100), of: promoted) == .older(mark(3)))
            #expect(watch.check(mark(2), in: KeySlot(100), of: promoted) == .doubtful)
        }
        // With its mark in another slot it is the same master.
        watch.sent(mark(6).stamp, to: Self.b, in: KeySlot(101), of: moved)
        watch.confirmed(at: Self.b, in: moved)
        #expect(watch.check(mark(4), in: KeySlot(101), of: promoted) == .older(mark(4)))
    }

    @Test func `a mark from before a full sync does not cover the data of the full sync`() {
        var watch = NodeWatch()
        watch.fullSyncBegins(at: mark(0, epoch: 2).stamp)
        let topology = topology(Self.a, Self.b)
        watch.sent(mark(1, epoch: 2).stamp, to: Self.a, in: KeySlot(0), of: topology)
        watch.confirmed(at: Self.a, in: topology)
        #expect(watch.check(mark(9), in: KeySlot(0), of: topology) == .lacksUnrepeatable(mark(9)))
        #expect(NodeWatch(text: watch.text).check(mark(9), in: KeySlot(0), of: topology) == .lacksUnrepeatable(mark(9)))
        #expect(watch.check(mark(1, epoch: 2), in: KeySlot(0), of: topology) == .complete)
    }

    @Test(arguments: [true, false])
    func `a node that has seen a full sync or flush unknown to the checkpoint is ahead`(isFullSync: Bool) {
        func happens(at stamp: FlowStamp, to watch: inout NodeWatch) {
            if isFullSync { watch.fullSyncBegins(at: stamp) } else { watch.slotMarksGo(at: stamp) }
        }
        let topology = topology(Self.a, Self.b)
        let before = watched()
        var after = before
        happens(at: mark(5).stamp, to: &after)
        var found = mark(6)
        found.origin = after.origin
        #expect(SlotMark(found.text) == found)
        for slot in [KeySlot(0), KeySlot(7)] { #expect(before.check(found, in: slot, of: topology) == .ahead) }
        for watch in [after, NodeWatch(text: after.text)] {
            #expect(watch.check(found, in: KeySlot(0), of: topology) == .complete)
            // The checkpoint notes it first.
            #expect(watch.check(mark(1), in: KeySlot(0), of: topology) == .complete)
            #expect(watch.text == after.text)
        }
        // It happened again.
        happens(at: mark(8).stamp, to: &after)
        #expect(after.check(found, in: KeySlot(0), of: topology) == .complete)
    }

    @Test func `after a removal every master has a mark, and an older mark means that the removal was lost`() {
        var watch = watched()
        let topology = topology(Self.a, Self.b)
        let masters = topology.shards.map { MarkedMaster(shard: $0, slot: KeySlot($0.slots[0].lowerBound + 7)) }
        watch.removed(mark(5).stamp, at: masters)
        #expect(watch.expectedSlots == [KeySlot(7), KeySlot(107)])
        #expect(watch.markedSlots == [KeySlot(0), KeySlot(7), KeySlot(100), KeySlot(107)])
        #expect(watch.slot(at: Self.b, in: topology) == KeySlot(107))
        #expect(watch.check(mark(5), in: KeySlot(7), of: topology) == .complete)
        #expect(watch.check(mark(4), in: KeySlot(7), of: topology) == .lacksUnrepeatable(mark(4)))
        #expect(watch.check(nil, in: KeySlot(7), of: topology) == .older(nil))
        // What was written after the removal can be repeated.
        watch.sent(mark(8).stamp, to: Self.a, in: KeySlot(7), of: topology)
        watch.confirmed(at: Self.a, in: topology)
        #expect(watch.check(mark(6), in: KeySlot(7), of: topology) == .older(mark(6)))
        #expect(watch.check(mark(4), in: KeySlot(7), of: topology) == .lacksUnrepeatable(mark(4)))
        let read = NodeWatch(text: watch.text)
        #expect(read.text == watch.text)
        #expect(read.check(mark(4), in: KeySlot(7), of: topology) == .lacksUnrepeatable(mark(4)))
        #expect(read.lastEpoch == 1)
    }

    @Test func `a migrating slot takes no mark, and another slot of the node is used`() {
        var watch = watched()
        let topology = topology(Self.a, Self.b)
        // Several marks are in flight.
        for number in 3..<5 { watch.sent(mark(UInt64(number)).stamp, to: Self.a, in: KeySlot(0), of: topology) }
        for _ in 0..<2 { #expect(watch.refused(at: Self.a, slotIsOpen: true, in: topology) == true) }
        #expect(watch.slot(at: Self.a, in: topology) == KeySlot(99))
        // Until there is another mark, the one that was confirmed says what is expected.
        #expect(watch.questions(to: Self.a, in: topology) == [KeySlot(0)])
        watch.sent(mark(5).stamp, to: Self.a, in: KeySlot(99), of: topology)
        watch.confirmed(at: Self.a, in: topology)
        #expect(watch.questions(to: Self.a, in: topology) == [KeySlot(99)])
        #expect(watch.markedSlots == [KeySlot(0), KeySlot(99), KeySlot(100)])
        watch.sent(mark(6).stamp, to: Self.a, in: KeySlot(99), of: topology)
        #expect(watch.refused(at: Self.a, slotIsOpen: true, in: topology) == true)
        #expect(watch.slot(at: Self.a, in: topology) == KeySlot(98))
        // A mark refused for another reason is tried again in the same slot.
        watch.sent(mark(7).stamp, to: Self.b, in: KeySlot(100), of: topology)
        #expect(watch.refused(at: Self.b, slotIsOpen: false, in: topology) == true)
        #expect(watch.slot(at: Self.b, in: topology) == KeySlot(100))
    }

    @Test func `slots are tried again if all of them are migrating`() {
        var watch = NodeWatch()
        let topology = ClusterTopology([.init(master: .init(id: "a", endpoint: Self.a), slots: [7...8])])
        for (slot, isAnother) in [(7, true), (8, false), (7, true)] {
            #expect(watch.slot(at: Self.a, in: topology) == KeySlot(UInt16(slot)))
            watch.sent(mark(1).stamp, to: Self.a, in: KeySlot(UInt16(slot)), of: topology)
            #expect(watch.refused(at: Self.a, slotIsOpen: true, in: topology) == isAnother)
        }
    }

    @Test func `an unconfirmed mark is ignored`() {
        var watch = watched()
        watch.sent(mark(9).stamp, to: Self.a, in: KeySlot(0), of: topology(Self.a, Self.b))
        watch.lost(Self.a)
        #expect(watch.check(mark(1), in: KeySlot(0), of: topology(Self.a, Self.b)) == .complete)
        watch.forget()
        #expect(watch.text.isEmpty)
    }
}
