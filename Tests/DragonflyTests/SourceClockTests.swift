import Dragonfly
import Testing
import Wire

@Suite struct `The source's clock` {
    private func time(_ seconds: Int64, _ microseconds: Int64) -> RESPValue {
        .array([.integer(seconds), .integer(microseconds)])
    }

    @Test func `is assumed to have been read in the middle of the request`() {
        let clock = SourceClock()
        #expect(!clock.isMeasured && clock.skew == 0)
        clock.answered(time(1800000000, 123999), between: 1_800_000_000_000, and: 1_800_000_000_100)
        #expect(clock.isMeasured && clock.skew == 73)
        clock.answered(time(1800000005, 0), between: 1_800_000_006_000, and: 1_800_000_006_000)
        #expect(clock.skew == -1000)
    }

    @Test func `keeps the skew from a short request if a longer one follows`() {
        let clock = SourceClock()
        clock.answered(time(1800000000, 0), between: 1_800_000_000_000, and: 1_800_000_002_000)
        #expect(clock.skew == -1000)
        clock.answered(time(1800000000, 0), between: 1_800_000_000_000, and: 1_800_000_000_200)
        #expect(clock.skew == -100)
        clock.answered(time(1800000000, 0), between: 1_800_000_000_000, and: 1_800_000_000_201)
        #expect(clock.skew == -100)
    }

    @Test func `can be read from strings too`() {
        let clock = SourceClock()
        clock.answered(.array([.simple("1"), .simple("5000")]), between: 0, and: 0)
        #expect(clock.skew == 1005)
    }

    @Test(
        arguments: [
            .error("NOPERM no"), .simple("OK"), .array(nil),
            .array([.simple("9223372036854775807"), .simple("0")]), .array([.simple("1"), .simple("-1")]),
        ] as [RESPValue])
    func `stays unmeasured after any other reply`(_ reply: RESPValue) {
        let clock = SourceClock()
        clock.answered(reply, between: 0, and: 1)
        #expect(!clock.isMeasured && clock.skew == 0)
    }
}
