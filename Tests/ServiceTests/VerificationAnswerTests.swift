import Dashboard
import Replication
import Testing

@testable import Service

@Suite struct `The answer about a comparison of both sides` {
    private func answer(obstacle: String? = nil, _ change: (inout Verification.Figures) -> Void) -> VerificationAnswer {
        var figures = Verification.Figures()
        change(&figures)
        return VerificationAnswer(
            VerificationDocument(figures, isJoined: false), pid: 1, phase: .stable, obstacle: obstacle)
    }

    @Test func `uses the singular for one key`() {
        let one = answer {
            ($0.phase, $0.found, $0.progress) = (.done, 1, .init(keys: 1, expectedKeys: 1, leftOut: 1))
        }
        #expect(
            one.report == [
                "1 key compared, 1 of them differed, 1 of these is mended",
                "1 is left out by policy, and is no difference: 'df2redis check' lists it",
            ])
        #expect(one.commandStatus == .done)
        let more = answer { ($0.phase, $0.found, $0.foreign) = (.done, 4, 2) }
        #expect(more.report[0] == "0 keys compared, 4 of them differed, 2 of these are mended")
        #expect(more.report[1].hasPrefix("2 are at the target only"))
    }

    @Test func `has the exit status of the failure`() {
        let failed = answer { ($0.phase, $0.failure, $0.exitStatus) = (.failed, "NOPERM", 77) }
        #expect(failed.commandStatus == .notPermitted)
        #expect(failed.report == ["NOPERM"])
    }

    @Test func `reports the obstacle if an operator has to act first`() {
        let obstructed = answer(obstacle: "+DUMP is missing") { ($0.phase, $0.found, $0.waiting) = (.mending, 3, 2) }
        #expect(obstructed.isObstructed)
        #expect(obstructed.unmended == 2)
        #expect(obstructed.commandStatus == .keysDiffer)
        #expect(obstructed.report[1] == "+DUMP is missing")
        #expect(obstructed.progress == "reading at the source: 2 of 3 keys left: +DUMP is missing")
    }

    @Test func `says what the comparison waits for`() {
        #expect(answer { $0.phase = .waiting }.waitReason == nil)
        #expect(answer { ($0.phase, $0.failure) = (.waiting, "the target: lost") }.waitReason == "the target: lost")
        #expect(answer { $0.phase = .stopped }.commandStatus == .notDone)
    }
}
