import Replication
import Testing

@testable import Service

@Suite struct `A cut-over that is interrupted` {
    @Test func `before the pause has nothing to lift, and pauses nobody afterwards`() {
        let progress = CutoverProgress()
        #expect(!progress.isInterrupted)
        #expect(progress.interrupt() == .notPaused)
        #expect(progress.isInterrupted)
        #expect(!progress.pause())
        #expect(!progress.commit())
    }

    @Test func `during the pause has the pause to lift, and does not go on`() {
        let progress = CutoverProgress()
        #expect(progress.pause())
        #expect(progress.interrupt() == .paused)
        #expect(!progress.commit())
    }

    @Test func `goes on if the task has already been asked to leave`() {
        let progress = CutoverProgress()
        #expect(progress.pause() && progress.commit())
        #expect(progress.interrupt() == .committed)
        #expect(!progress.isInterrupted)
    }
}

@Suite struct `A cut-over whose task has left` {
    @Test func `is complete only if the task has noted that the target has everything`() {
        func doubt(_ note: CutOverNote?) -> String? { CutoverService.reasonForDoubt(in: note) }
        #expect(doubt(CutOverNote(seconds: 1, isComplete: true)) == nil)
        #expect(doubt(CutOverNote(seconds: 1, isComplete: false))?.contains("not applied") == true)
        #expect(doubt(nil)?.contains("without a note") == true)
    }
}
