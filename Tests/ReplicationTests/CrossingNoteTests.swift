import Testing

@testable import Replication

@Suite struct `The note of the last record over several slots` {
    @Test(arguments: [
        ("17", CrossingNote(lsn: 17)), ("17 3", CrossingNote(lsn: 17, databases: [3])),
        ("18 0,3", CrossingNote(lsn: 18, databases: [0, 3])),
    ]) func `is read as it is written`(_ text: String, _ note: CrossingNote) {
        #expect(CrossingNote(text: text) == note)
        #expect(note.text == text)
    }

    @Test func `keeps the databases of earlier records`() {
        let first = CrossingNote?.none.noting(5, in: 3)
        #expect(first == CrossingNote(lsn: 5, databases: [3]))
        #expect(first.noting(5, in: 3) == nil, "nothing is to be stored")
        #expect(first.noting(6, in: 0)?.text == "6 0,3")
        #expect(CrossingNote(text: "none") == nil)
    }
}
