import Testing

@testable import Dragonfly

@Suite struct `The pace of reading a flow` {
    private let start = ContinuousClock.now

    @Test func `reads a quiet flow as soon as bytes arrive`() {
        var pace = ReadPace()
        #expect(pace.turnEnded(bytes: 100, at: start) == nil)
        #expect(pace.turnEnded(bytes: 100, at: start + .milliseconds(2)) == nil)
    }

    @Test func `reads a flow with frequent small writes every two milliseconds`() {
        var pace = ReadPace()
        _ = pace.turnEnded(bytes: 100, at: start)
        #expect(pace.turnEnded(bytes: 100, at: start + .microseconds(100)) == ReadPace.shortPause)
        #expect(pace.turnEnded(bytes: 100, at: start + .microseconds(2200)) == ReadPace.shortPause)
        // Nothing came meanwhile: the next read waits for the kernel's notice.
        #expect(pace.turnEnded(bytes: 0, at: start + .microseconds(4300)) == nil)
        #expect(pace.turnEnded(bytes: 100, at: start + .microseconds(9000)) == nil)
    }

    @Test func `reads a flow with many records half as often`() {
        var pace = ReadPace()
        _ = pace.turnEnded(bytes: 100, at: start)
        let many = ReadPace.longPauseBytes
        #expect(pace.turnEnded(bytes: many, at: start + .microseconds(100)) == ReadPace.longPause)
        #expect(pace.turnEnded(bytes: 2 * many, at: start + .microseconds(4200)) == ReadPace.longPause)
        #expect(pace.turnEnded(bytes: many - 1, at: start + .microseconds(8300)) == ReadPace.shortPause)
    }

    @Test func `reads a flow with large writes without a pause`() {
        var pace = ReadPace()
        _ = pace.turnEnded(bytes: 100, at: start)
        #expect(pace.turnEnded(bytes: ReadPace.fastTurnBytes, at: start + .microseconds(100)) == nil)
        #expect(pace.turnEnded(bytes: 100, at: start + .microseconds(200)) == ReadPace.shortPause)
    }
}
