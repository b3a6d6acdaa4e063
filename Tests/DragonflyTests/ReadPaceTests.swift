import Testing

@testable import Dragonfly

@Suite struct `When a flow is read again` {
    private let start = ContinuousClock.now

    @Test func `a quiet flow is read when something comes`() {
        var pace = ReadPace()
        #expect(pace.turnEnded(bytes: 100, at: start) == nil)
        #expect(pace.turnEnded(bytes: 100, at: start + .milliseconds(2)) == nil)
    }

    @Test func `a flow that brings a little again and again is read every two milliseconds`() {
        var pace = ReadPace()
        _ = pace.turnEnded(bytes: 100, at: start)
        #expect(pace.turnEnded(bytes: 100, at: start + .microseconds(100)) == ReadPace.shortPause)
        #expect(pace.turnEnded(bytes: 100, at: start + .microseconds(2200)) == ReadPace.shortPause)
        // Nothing came meanwhile: the kernel reports what comes next.
        #expect(pace.turnEnded(bytes: 0, at: start + .microseconds(4300)) == nil)
        #expect(pace.turnEnded(bytes: 100, at: start + .microseconds(9000)) == nil)
    }

    @Test func `a busy flow that brings many records is read half as often`() {
        var pace = ReadPace()
        _ = pace.turnEnded(bytes: 100, at: start)
        let many = ReadPace.longPauseBytes
        #expect(pace.turnEnded(bytes: many, at: start + .microseconds(100)) == ReadPace.longPause)
        #expect(pace.turnEnded(bytes: 2 * many, at: start + .microseconds(4200)) == ReadPace.longPause)
        #expect(pace.turnEnded(bytes: many - 1, at: start + .microseconds(8300)) == ReadPace.shortPause)
    }

    @Test func `a flow that brings much is read on at once`() {
        var pace = ReadPace()
        _ = pace.turnEnded(bytes: 100, at: start)
        #expect(pace.turnEnded(bytes: ReadPace.fastTurnBytes, at: start + .microseconds(100)) == nil)
        #expect(pace.turnEnded(bytes: 100, at: start + .microseconds(200)) == ReadPace.shortPause)
    }
}
