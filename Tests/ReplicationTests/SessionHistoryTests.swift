import Dragonfly
import Testing

@testable import Replication

/// What becomes of a task when a session ends with an error.
@Suite struct `What sessions leave behind` {
    private static let nothing = SessionHistory.Legacy(
        hasBegun: false, isFullSync: false, stableTime: nil, ownsImportMode: false)
    private static let followed = SessionHistory.Legacy(
        hasBegun: true, isFullSync: false, stableTime: .seconds(5), ownsImportMode: true)

    private func error(_ code: ReplicationError.Code) -> ReplicationError { ReplicationError(code, "") }

    @Test func `a refused position is done without once, then the source is waited for`() {
        var past = SessionHistory()
        #expect(past.next(behind: error(.source(.resumeRefused)), of: Self.nothing) == .atOnce)
        #expect(past.distrust == .disagreement)
        #expect(past.next(behind: error(.source(.resumeRefused)), of: Self.nothing) == .retry)
        #expect(past.distrust == nil)
    }

    @Test func `a full sync that is put off waits for its turn and changes nothing`() {
        var past = SessionHistory()
        _ = past.next(behind: error(.source(.resumeRefused)), of: Self.nothing)
        #expect(past.next(behind: error(.postponed), of: Self.nothing) == .paced)
        #expect(past.distrust == .disagreement)
    }

    @Test func `a miscounted position is not gone on from until a full sync has begun`() {
        var past = SessionHistory()
        #expect(past.next(behind: error(.recordsLost), of: Self.followed) == .retry)
        #expect(past.next(behind: error(.source(.unreachable)), of: Self.nothing) == .retry)
        #expect(past.distrust == .recordsLost)
        _ = past.next(behind: error(.source(.unreachable)), of: Self.followed)
        #expect(past.distrust == nil)
    }

    @Test func `attempts are counted from the last session that began`() {
        var past = SessionHistory()
        #expect(past.beginAttempt(givingUpAfter: .seconds(60)) == 1)
        #expect(past.beginAttempt(givingUpAfter: .seconds(60)) == 2)
        #expect(past.beginAttempt(givingUpAfter: .zero) == nil)
        _ = past.next(behind: error(.source(.unreachable)), of: Self.followed)
        #expect(past.beginAttempt(givingUpAfter: nil) == 1)
        #expect(past.hasBegun && past.hasFollowed && past.ownsImportMode)
    }

    @Test func `a source that was emptied in a full sync counts as emptied until one has been followed`() {
        var past = SessionHistory()
        let cutShort = SessionHistory.Legacy(
            hasBegun: true, isFullSync: true, stableTime: nil, ownsImportMode: false)
        _ = past.next(behind: error(.resync), of: cutShort)
        _ = past.next(behind: error(.source(.unreachable)), of: cutShort)
        #expect(past.sourceWasEmptied)
        _ = past.next(behind: error(.source(.unreachable)), of: Self.followed)
        #expect(!past.sourceWasEmptied)
    }
}
