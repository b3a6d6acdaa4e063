import Testing

@testable import Replication

@Suite struct `A recurring failure` {
    @Test func `is reported when it begins, and when it has been absent for a minute`() {
        var period = FailurePeriod()
        let begin = ContinuousClock.now
        func note(_ hasFailed: Bool, _ seconds: Int) -> FailurePeriod.Change? {
            period.note(hasFailed: hasFailed, at: begin + .seconds(seconds))
        }
        #expect(note(false, 0) == nil)
        #expect(note(true, 1) == .begun)
        #expect(note(true, 2) == nil)
        #expect(note(false, 61) == nil)
        #expect(note(true, 61) == nil)
        #expect(note(false, 120) == nil)
        #expect(note(false, 121) == .over)
        #expect(note(false, 300) == nil)
        #expect(note(true, 301) == .begun)
    }
}
