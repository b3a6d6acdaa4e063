import Dashboard
import Replication
import Testing

@testable import Service

@Suite struct `The progress lines of a comparison before a cut-over` {
    private let begin = ContinuousClock.now

    private func document(
        _ state: Verification.Phase, keys: Int = 0, of expected: Int = 0, failure: String? = nil,
        phase: Replication.Phase = .stable
    ) -> VerificationAnswer {
        var figures = Verification.Figures()
        (figures.number, figures.phase, figures.keysPerSecond, figures.failure) = (1, state, 5000, failure)
        figures.progress = .init(keys: keys, expectedKeys: expected)
        return VerificationAnswer(VerificationDocument(figures, isJoined: false), pid: 1, phase: phase, obstacle: nil)
    }

    @Test func `report the progress every ten seconds`() {
        var lines = ComparisonLines(at: begin)
        #expect(lines.next(document(.comparing, keys: 5, of: 10), at: begin + .seconds(9)) == nil)
        let line = lines.next(document(.comparing, keys: 5, of: 10), at: begin + .seconds(10))
        #expect(line == "comparing: 5 of 10 keys (50 %), 0 different, 0 to be read at the source")
        #expect(lines.next(document(.comparing, keys: 6, of: 10), at: begin + .seconds(11)) == nil)
    }

    @Test func `report a lost target once, and that the comparison begins again`() {
        var lines = ComparisonLines(at: begin)
        let lost = "the target: no answer from 127.0.0.1:6380 within 10 s"
        #expect(lines.next(document(.waiting), at: begin) == nil)
        #expect(lines.next(document(.comparing), at: begin + .seconds(30)) == nil)
        #expect(lines.next(document(.waiting, failure: lost), at: begin + .seconds(31)) == "waiting: \(lost)")
        #expect(lines.next(document(.waiting, failure: lost), at: begin + .seconds(32)) == nil)
        #expect(lines.next(document(.comparing), at: begin + .seconds(50)) == nil)
        #expect(lines.next(document(.waiting, failure: lost), at: begin + .seconds(70)) == nil)
        let again = lines.next(document(.comparing, keys: 1, of: 10), at: begin + .seconds(71))
        #expect(again == "it begins again, comparing: 1 of 10 keys (10 %), 0 different, 0 to be read at the source")
        #expect(lines.next(document(.comparing, keys: 2, of: 10), at: begin + .seconds(72)) == nil)
    }

    @Test func `say that the task is not stable`() {
        var lines = ComparisonLines(at: begin)
        let line = lines.next(document(.waiting, phase: .connecting), at: begin)
        #expect(line == "waiting: the task is not stable (connecting)")
    }
}
