import Testing

@testable import Replication

@Suite struct `The note of a cut-over` {
    @Test(arguments: [true, false]) func `says when it was, and whether the target has everything`(_ isComplete: Bool) {
        let note = CutOverNote(seconds: 1_796_000_000, isComplete: isComplete)
        #expect(note.text == (isComplete ? "1796000000" : "1796000000 incomplete"))
        #expect(CutOverNote(note.text) == note)
    }

    @Test func `is read even if a later version has appended words, but not if it is something else`() {
        #expect(CutOverNote("7 later words") == CutOverNote(seconds: 7, isComplete: true))
        #expect(CutOverNote("") == nil)
        #expect(CutOverNote("soon") == nil)
    }
}
