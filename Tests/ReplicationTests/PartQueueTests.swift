import Link
import Testing

@testable import Replication

@Suite struct `Parts that wait to be sent to slots` {
    private let now = ContinuousClock.now
    private let first = Endpoint(host: "h", port: 1)
    private let second = Endpoint(host: "h", port: 2)

    private func taken(from parts: inout PartQueue) -> [Int] { parts.takeReady() }

    @Test func `are sent once, delayed ones after their delay`() {
        var parts = PartQueue(0..<2)
        parts.add(7, after: .milliseconds(20), at: now)
        parts.becomeDue(at: now + .milliseconds(10))
        #expect(taken(from: &parts) == [0, 1])
        #expect(taken(from: &parts) == [])
        parts.add(3)
        parts.becomeDue(at: now + .milliseconds(20))
        #expect(taken(from: &parts) == [3, 7])
    }

    @Test func `go once to the node that an ASK has named`() {
        var parts = PartQueue(0..<2)
        parts.ask(1, at: first)
        #expect((parts.askedNode(of: 0), parts.askedNode(of: 1)) == (nil, first))
        let wasAsked = [0, 1, 1].map { parts.takeAsking($0) }
        #expect(wasAsked == [false, true, false])
    }

    @Test func `go to the slot's master if the node that an ASK has named is unreachable`() {
        var parts = PartQueue(0..<2)
        parts.ask(0, at: first)
        parts.ask(1, at: second)
        parts.forgetAsking(at: first)
        #expect((parts.askedNode(of: 0), parts.askedNode(of: 1)) == (nil, second))
    }

    @Test func `are resent at once, each once, when their connection is lost`() {
        var parts = PartQueue(0..<3)
        parts.ask(2, at: first)
        parts.add(4, after: .seconds(1), at: now)
        parts.restart([4, 2])
        #expect(parts.askedNode(of: 2) == nil)
        #expect(taken(from: &parts) == [0, 1, 2, 4])
        parts.becomeDue(at: now + .seconds(2))
        #expect(taken(from: &parts) == [])
    }
}
