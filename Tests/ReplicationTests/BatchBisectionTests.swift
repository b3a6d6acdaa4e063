import Redis
import Testing

@testable import Replication

@Suite struct `A batch whose connections end` {
    private static let large = TargetLimits.leastBytes + 1

    /// Sends the batch's parts to a target that ends the connection at `poison`, until all is delivered or blamed.
    ///
    /// - Returns: the units delivered, in order; the units blamed; how many connections that took.
    private func run(
        _ sizes: [Int], poison: Set<Int>, _ evidence: BatchBisection.Evidence
    ) -> (delivered: [Int], blamed: [Int], losses: Int) {
        var bisection = BatchBisection(sizes: sizes)
        var (delivered, blamed, losses, remaining) = ([Int](), [Int](), 0, poison)
        while let part = bisection.pending.first, losses < 1000 {
            if remaining.isDisjoint(with: part) {
                delivered += part
                bisection.delivered()
                continue
            }
            losses += 1
            if case .blamed(let unit) = bisection.lost(evidence) {
                blamed.append(unit)
                remaining.remove(unit)
                bisection.leftOut()
            }
        }
        return (delivered, blamed, losses)
    }

    @Test(arguments: 1...40) func `has each poisonous unit found, wherever it is, and all units delivered in order`(
        _ count: Int
    ) {
        for poison in 0..<count {
            for evidence in [BatchBisection.Evidence.complaint, .silence] {
                let sizes = (0..<count).map { $0 == poison ? Self.large : 100 }
                let result = run(sizes, poison: [poison], evidence)
                #expect(result.delivered == Array(0..<count))
                #expect(result.blamed == [poison])
                // The number of lost connections grows with the logarithm: a few for each halving.
                #expect(result.losses <= 4 + 2 * (Int.bitWidth - count.leadingZeroBitCount))
            }
        }
    }

    @Test func `has every one of several poisonous units found`() {
        let result = run((0..<20).map { _ in Self.large }, poison: [0, 7, 8, 19], .complaint)
        #expect(result.blamed == [0, 7, 8, 19])
        #expect(result.delivered == Array(0..<20))
    }

    @Test func `is sent again whole after one loss`() {
        var bisection = BatchBisection(sizes: [1, 1, 1])
        #expect(bisection.lost(.complaint) == .again)
        #expect(bisection.pending == [0..<3])
        #expect(bisection.lost(.silence) == .divided)
        #expect(bisection.pending == [0..<1, 1..<3])
    }

    @Test func `has no small unit blamed if the target gives no error`() {
        var bisection = BatchBisection(sizes: [100])
        var suspicions = 0
        for _ in 0..<100 {
            switch bisection.lost(.silence) {
            case .again: break
            case .suspected(unit: 0): suspicions += 1
            case let finding: Issue.record("\(finding)")
            }
        }
        #expect(suspicions == 1, "reported once")
    }

    @Test func `needs more losses for a blame if the target gives no error`() {
        var bisection = BatchBisection(sizes: [Self.large])
        for _ in 0..<3 { #expect(bisection.lost(.silence) == .again) }
        #expect(bisection.lost(.silence) == .blamed(unit: 0))
        bisection = BatchBisection(sizes: [100])
        #expect(bisection.lost(.complaint) == .again)
        #expect(bisection.lost(.complaint) == .blamed(unit: 0))
    }

    @Test func `is not to blame for a target that goes away or is restarted`() {
        var bisection = BatchBisection(sizes: [Self.large, Self.large])
        for _ in 0..<50 {
            #expect(bisection.lost(.unrelated) == .again)
            #expect(bisection.lost(.silence) == .again)
        }
        #expect(bisection.pending == [0..<2])
    }

    @Test func `is divided only where its units together exceed the limit`() {
        #expect(BatchBisection(sizes: [3, 3, 3, 3], limit: 7).pending == [0..<2, 2..<4])
        #expect(BatchBisection(sizes: [3, 9, 3, 0, 3], limit: 7).pending == [0..<1, 1..<2, 2..<5])
        #expect(BatchBisection(sizes: [9], limit: 7).pending == [0..<1])
        #expect(BatchBisection(sizes: [3, 3, 3]).pending == [0..<3])
    }

    @Test func `ends before the unit that the task stops at`() {
        var bisection = BatchBisection(sizes: [3, 3, 3, 3, 3], limit: 7)
        bisection.end(before: 3)
        #expect(bisection.pending == [0..<2, 2..<3])
        bisection.end(before: 0)
        #expect(bisection.isDone)
    }
}
