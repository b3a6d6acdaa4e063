import Dragonfly
import Logging
import Testing

@testable import Replication

/// When two key counts mean that the source holds keys that no record has brought.
@Suite struct `Two data sets compared` {
    /// A source of 100 keys whose calls are known, and a target that has them.
    private static func sample(
        source: Int = 100, target: Int? = nil, slack: Int = 0, losses: Int = 0, run: String = "a", incidents: Int = 0,
        flushCalls: Int? = 0, flushRecords: ClosedRange<Int> = 0...0, roles: Int = 0, isFuzzy: Bool = false
    ) -> DataSetJudge.Sample {
        DataSetJudge.Sample(
            sourceKeys: [0: source], targetKeys: [0: target ?? source], slack: slack, targetLosses: losses,
            targetRunID: run, incidents: incidents, hasElementExpiries: isFuzzy,
            calls: flushCalls.map { SourceCalls(flushes: $0, roleChanges: roles) }, flushRecords: flushRecords)
    }

    /// The judge of a full sync at whose end both sides are equal.
    private func judge() -> DataSetJudge {
        var judge = DataSetJudge(note: nil, callsBefore: SourceCalls(flushes: 0, roleChanges: 0))
        #expect(judge.judge(Self.sample()) == .fits)
        return judge
    }

    private func lastVerdict(_ judge: inout DataSetJudge, _ sample: DataSetJudge.Sample) -> DataSetJudge.Verdict {
        for _ in 1..<DataSetJudge.confirmations { #expect(judge.judge(sample) == .inDoubt) }
        return judge.judge(sample)
    }

    @Test func `a key that only the source has counts as missing after three checks`() {
        var judge = judge()
        let reason = FullSyncReason.keysMissing(1, source: 101, target: 100)
        #expect(lastVerdict(&judge, Self.sample(source: 101, target: 100)) == .differs(reason))
    }

    @Test func `a few keys that will be mended are no reason for a full sync`() {
        var judge = judge()
        var sample = Self.sample(source: 110, target: 100)
        sample.mendable = 10
        for _ in 0..<20 { #expect(judge.judge(sample) == .mending(10)) }
        #expect(judge.note.accepted == 0, "they are not taken for granted")
        var other = judge
        other.accept(10)
        sample.mendable = 0
        #expect(other.judge(sample) == .fits, "unless nobody sees them")
        sample.mendable = 9
        let reason = FullSyncReason.keysMissing(10, source: 110, target: 100)
        #expect(lastVerdict(&judge, sample) == .differs(reason))
    }

    @Test func `a few missing keys are searched for before a full sync, but not after a FLUSHALL`() {
        var judge = judge()
        var sample = Self.sample(source: 110, target: 100)
        sample.searchable = 10
        #expect(lastVerdict(&judge, sample) == .missing(10))
        #expect(judge.judge(sample) == .missing(10), "as long as nobody searches")
        let reason = FullSyncReason.keysMissing(10, source: 110, target: 100)
        var flushed = judge
        flushed.flushedAll(incidents: 0)
        #expect(lastVerdict(&flushed, sample) == .differs(reason))
        (sample.searchable, sample.mendable) = (0, 100)
        #expect(judge.judge(sample) == .mending(10))
        sample.mendable = 0
        #expect(lastVerdict(&judge, sample) == .differs(reason), "the search has not brought them")
        var other = self.judge()
        sample.searchable = 9
        #expect(lastVerdict(&other, sample) == .differs(reason))
    }

    @Test func `after a FLUSHALL, keys that will be mended are not waited for`() {
        var judge = judge()
        judge.flushedAll(incidents: 0)
        var sample = Self.sample(source: 110, target: 100)
        sample.mendable = 10
        #expect(judge.judge(sample) != .mending(10))
    }

    @Test func `a doubt that has gone away does not count later`() {
        var judge = judge()
        for _ in 0..<5 {
            for _ in 1..<DataSetJudge.confirmations {
                #expect(judge.judge(Self.sample(source: 150, target: 100)) == .inDoubt)
            }
            #expect(judge.judge(Self.sample(source: 150)) == .fits)
        }
    }

    @Test func `a difference that records in between can explain raises no doubt`() {
        var judge = judge()
        for difference in [-500, 500, 0, 499, 500, 500, 500, 500] {
            #expect(judge.judge(Self.sample(source: 1000, target: 1000 - difference, slack: 500)) == .fits)
        }
        #expect(judge.judge(Self.sample(source: 1000, target: 499, slack: 500)) == .inDoubt)
    }

    @Test func `random inserts and deletes within the slack never count, and a loss above it always does`() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<50 {
            var judge = judge()
            for _ in 0..<100 {
                let slack = Int.random(in: 0...1000, using: &random)
                let source = Int.random(in: 1000...5000, using: &random)
                let sample = Self.sample(
                    source: source, target: source - Int.random(in: -slack...slack, using: &random), slack: slack)
                #expect(judge.judge(sample) == .fits)
            }
            #expect(lastVerdict(&judge, Self.sample(source: 9000, target: 7000, slack: 1000)) != .fits)
        }
    }

    @Test func `foreign keys in the target may hide a loss, but never count as one`() {
        var judge = judge()
        #expect(judge.judge(Self.sample(source: 100, target: 5000)) == .fits)
        #expect(judge.judge(Self.sample(source: 100, target: 100)) == .fits)
    }

    @Test func `databases are counted one by one`() {
        var judge = judge()
        var sample = Self.sample()
        sample.sourceKeys = [0: 100, 3: 7]
        sample.targetKeys = [0: 200, 3: 5]
        #expect(lastVerdict(&judge, sample) == .differs(.keysMissing(2, source: 107, target: 205)))
    }

    @Test func `keys that the target loses by itself are tolerated until the source has deleted them`() {
        var judge = judge()
        #expect(judge.judge(Self.sample(source: 100, target: 60, losses: 40)) == .fits)
        #expect(judge.judge(Self.sample(source: 100, target: 60, losses: 40)) == .fits)
        #expect(judge.judge(Self.sample(source: 60, target: 60, losses: 40)) == .fits)
        #expect(judge.judge(Self.sample(source: 100, target: 60, losses: 40)) == .inDoubt)
    }

    @Test func `each incident may account for one missing key`() {
        var judge = judge()
        #expect(judge.judge(Self.sample(source: 110, target: 107, incidents: 3)) == .fits)
        #expect(judge.judge(Self.sample(source: 110, target: 106, incidents: 3)) == .inDoubt)
    }

    @Test func `keys that a full sync could not bring are accepted, also by the next session`() {
        var judge = DataSetJudge(note: nil, callsBefore: nil)
        #expect(judge.judge(Self.sample(source: 100, target: 90, losses: 7, incidents: 10)) == .fits)
        #expect(judge.note.accepted == 10)
        var next = DataSetJudge(note: DataSetNote(judge.note.text), callsBefore: nil)
        #expect(next.judge(Self.sample(source: 100, target: 90, losses: 7)) == .fits)
        // Expired while nobody looked.
        #expect(next.judge(Self.sample(source: 100, target: 88, losses: 9)) == .fits)
        #expect(next.judge(Self.sample(source: 100, target: 87, losses: 9)) == .inDoubt)
    }

    @Test func `a resumed session knows that no missing keys were accepted`() {
        var judge = DataSetJudge(note: DataSetNote("0 0 a 0 0"), callsBefore: nil)
        let sample = Self.sample(source: 2501, target: 1502)
        #expect(lastVerdict(&judge, sample) == .differs(.keysMissing(999, source: 2501, target: 1502)))
    }

    @Test func `the counts found with a checkpoint of an earlier version are accepted`() {
        var judge = DataSetJudge(note: DataSetNote(), callsBefore: SourceCalls(flushes: 5, roleChanges: 0))
        #expect(judge.judge(Self.sample(source: 2501, target: 1502, flushCalls: 5, flushRecords: 3...3)) == .fits)
    }

    @Test func `after a FLUSHALL, no missing key is accepted`() {
        var judge = DataSetJudge(note: DataSetNote("50 0 a 0 0"), callsBefore: nil)
        judge.flushedAll(incidents: 0)
        let sample = Self.sample(source: 1, target: 0, flushCalls: 1, flushRecords: 1...1, isFuzzy: true)
        #expect(lastVerdict(&judge, sample) == .differs(.keysMissing(1, source: 1, target: 0)))
    }

    @Test func `keys left out after a FLUSHALL may be missing from the target`() {
        var judge = judge()
        judge.flushedAll(incidents: 7)
        var sample = Self.sample(source: 310, target: 10, flushCalls: 1, flushRecords: 1...1)
        sample.incidents = 307
        #expect(judge.judge(sample) == .fits)
    }

    @Test func `a client's FLUSHALL and later writes are no difference`() {
        var judge = judge()
        for round in 1...5 {
            judge.flushedAll(incidents: 0)
            // The FLUSHALL's call is counted a moment after its record.
            let early = Self.sample(source: 0, flushCalls: round - 1, flushRecords: round...round)
            #expect(judge.judge(early) == .inDoubt)
            #expect(judge.judge(Self.sample(source: 50, flushCalls: round, flushRecords: round...round)) == .fits)
            #expect(judge.judge(Self.sample(source: 900, flushCalls: round, flushRecords: round...round)) == .fits)
        }
    }

    @Test func `a FLUSHALL that no client has called is a difference, whatever the number of keys`() {
        var judge = judge()
        judge.flushedAll(incidents: 0)
        #expect(lastVerdict(&judge, Self.sample(flushCalls: 0, flushRecords: 1...1)) == .differs(.flushWithoutCall))
    }

    @Test func `calls whose records the session has missed are no difference`() {
        // Noted at 2 calls; 3 more were made before the position, and 2 after it.
        var judge = DataSetJudge(note: DataSetNote("0 0 a 2 0"), callsBefore: nil)
        #expect(judge.judge(Self.sample(flushCalls: 7, flushRecords: 2...2)) == .fits)
        #expect(judge.judge(Self.sample(flushCalls: 7, flushRecords: 3...3)) == .inDoubt)
    }

    @Test func `counters that were reset are counted from zero`() {
        var judge = DataSetJudge(note: DataSetNote("0 0 a 9 4"), callsBefore: nil)
        #expect(judge.judge(Self.sample(flushCalls: 0, flushRecords: 1...1)) == .fits)
        #expect(judge.judge(Self.sample(flushCalls: 1, flushRecords: 2...2)) == .fits)
        #expect(judge.judge(Self.sample(flushCalls: 1, flushRecords: 3...3)) == .inDoubt)
    }

    @Test func `keys lost in a restart of the target are accepted`() {
        var judge = judge()
        #expect(judge.judge(Self.sample(source: 100, target: 95, run: "b")) == .fits)
        #expect(judge.judge(Self.sample(source: 100, target: 94, run: "b")) == .inDoubt)
    }

    @Test func `missing keys do not count if elements have TTLs of their own`() {
        var judge = judge()
        for _ in 0..<5 { #expect(judge.judge(Self.sample(source: 100, target: 20, isFuzzy: true)) == .fits) }
        #expect(judge.judge(Self.sample(source: 100, target: 20)) == .fits)
    }

    @Test func `the note is read as it was written`() {
        for text in ["- - - - -", "3 12 abc 4 5", "0 - abc - -"] { #expect(DataSetNote(text)?.text == text) }
        #expect(DataSetNote(nil) == nil)
        #expect(DataSetNote("what") == nil)
    }
}

/// How the few keys that a target lacks are found without a full sync.
@Suite struct `Keys that the target lacks` {
    private static let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
    private let verification: Verification
    private var keys: MissingKeys

    init() {
        let queue = RefreshQueue(path: nil, logger: Self.logger)
        verification = Verification(queue) { 0 }
        keys = MissingKeys(queue, verifierRecord: VerifierRecord(), verification: verification, logger: Self.logger)
    }

    @Test mutating func `are searched for once, and count as mendable until the search ends`() {
        #expect(keys.mendable == 0)
        #expect(keys.searchable(among: 3000) == MissingKeys.most)
        keys.beginSearch(for: 1, among: 3000)
        #expect(keys.mendable == MissingKeys.most)
        #expect(keys.searchable(among: 3000) == 0)
        #expect(verification.take(stop: {})?.keysPerSecond == 1000)
        #expect(keys.mendable == MissingKeys.most)
        verification.compared()
        #expect(verification.figures.phase == .done)
        #expect(keys.mendable == 0)
        keys.noteNoneMissing()
        #expect(keys.searchable(among: 3000) == 0, "it has found nothing, so the next is not worth it")
    }

    @Test mutating func `are searched for again after a search that has found some`() {
        keys.beginSearch(for: 1, among: 3000)
        _ = verification.take(stop: {})
        verification.found(.asked)
        keys.noteNoneMissing()
        #expect(keys.searchable(among: 3000) == 0, "it is still running")
        verification.compared()
        keys.noteNoneMissing()
        #expect(keys.searchable(among: 3000) == MissingKeys.most)
        keys.beginSearch(for: 1, among: 3000)
        #expect(keys.mendable == MissingKeys.most)
        #expect(verification.figures.number == 2)
    }

    @Test mutating func `are left to a full sync if very many other keys differ`() {
        keys.beginSearch(for: 1, among: 3000)
        _ = verification.take(stop: {})
        for _ in 0..<MissingKeys.most { verification.found(.asked) }
        #expect(keys.mendable == MissingKeys.most)
        verification.found(.asked)
        #expect(keys.mendable == 0 && keys.searchable(among: 3000) == 0)
    }

    @Test mutating func `are searched for by a pass of their own, after one that an operator requested`() {
        let asked = verification.begin(keysPerSecond: 10).figures.number
        keys.beginSearch(for: 1, among: 3000)
        #expect(keys.mendable == 0 && keys.searchable(among: 3000) == MissingKeys.most)
        keys.endSearch()
        #expect(verification.figures.phase == .waiting, "it is not ours to end")
        verification.stop(asked)
        keys.beginSearch(for: 1, among: 3000)
        #expect(keys.mendable == MissingKeys.most)
        keys.endSearch()
        #expect(verification.figures.phase == .stopped)
        #expect(keys.mendable == 0)
    }

    @Test(
        arguments: [(1, 1000), (300_000, 1000), (600_000, 2000), (1_500_000, 5000), (1_501_000, nil)] as [(Int, Int?)])
    mutating func `are searched for at a rate that finds them within minutes`(_ count: Int, _ rate: Int?) {
        #expect(keys.searchable(among: count) == (rate == nil ? 0 : MissingKeys.most))
        keys.beginSearch(for: 1, among: count)
        #expect(verification.take(stop: {})?.keysPerSecond == rate)
    }
}
