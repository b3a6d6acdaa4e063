import Dragonfly
import Testing

@testable import Replication

/// What becomes of a task when a session ends with an error.
@Suite struct `The history of sessions` {
    private static let nothing = SessionOutcome(
        hasBegun: false, isFullSync: false, stableTime: nil, ownsImportMode: false)
    private static let followed = SessionOutcome(
        hasBegun: true, isFullSync: false, stableTime: .seconds(5), ownsImportMode: true)

    private func error(_ code: ReplicationError.Code) -> ReplicationError { ReplicationError(code, "") }

    @Test func `drops a refused position once, then lets the task wait for the source`() {
        var history = SessionHistory()
        #expect(history.next(after: error(.source(.resumeRefused)), of: Self.nothing) == .atOnce)
        #expect(history.resumeBlocker == .mixedFlowModes)
        #expect(history.next(after: error(.source(.resumeRefused)), of: Self.nothing) == .retry)
        #expect(history.resumeBlocker == nil)
    }

    @Test func `makes the next session begin with what the opening found missing at the target`() {
        var history = SessionHistory()
        let incomplete = ReplicationError(lackingNode: "", flow: FlowID(0), .nodeIncomplete)
        #expect(history.next(after: incomplete, of: Self.nothing) == .atOnce)
        #expect(history.resumeBlocker == .nodeIncomplete)
        for _ in 1..<10 { #expect(history.next(after: error(.targetChanged), of: Self.nothing) == .atOnce) }
        #expect(history.next(after: error(.targetChanged), of: Self.nothing) == .retry)
        #expect(history.next(after: error(.targetChanged), of: Self.followed) == .retry)
    }

    @Test func `is unchanged by a postponed full sync, which waits for its turn`() {
        var history = SessionHistory()
        _ = history.next(after: error(.source(.resumeRefused)), of: Self.nothing)
        #expect(history.next(after: error(.postponed), of: Self.nothing) == .paced)
        #expect(history.resumeBlocker == .mixedFlowModes)
    }

    @Test func `blocks resuming at a miscounted position until another session has begun`() {
        var history = SessionHistory()
        #expect(history.next(after: error(.recordsLost), of: Self.followed) == .retry)
        #expect(history.next(after: error(.source(.unreachable)), of: Self.nothing) == .retry)
        #expect(history.resumeBlocker == .recordsLost)
        _ = history.next(after: error(.source(.unreachable)), of: Self.followed)
        #expect(history.resumeBlocker == nil)
    }

    @Test func `counts attempts from the last session that began`() {
        var history = SessionHistory()
        #expect(history.beginAttempt(givingUpAfter: .seconds(60)) == 1)
        #expect(history.beginAttempt(givingUpAfter: .seconds(60)) == 2)
        #expect(history.beginAttempt(givingUpAfter: .zero) == nil)
        _ = history.next(after: error(.source(.unreachable)), of: Self.followed)
        #expect(history.beginAttempt(givingUpAfter: nil) == 1)
        #expect(history.hasBegun && history.hasFollowed && history.ownsImportMode)
    }

    @Test func `marks a source emptied in a full sync as emptied until a session has followed it`() {
        var history = SessionHistory()
        let cutShort = SessionOutcome(
            hasBegun: true, isFullSync: true, stableTime: nil, ownsImportMode: false)
        _ = history.next(after: error(.resync), of: cutShort)
        _ = history.next(after: error(.source(.unreachable)), of: cutShort)
        #expect(history.sourceWasEmptied)
        _ = history.next(after: error(.source(.unreachable)), of: Self.followed)
        #expect(!history.sourceWasEmptied)
    }
}
