package import Dragonfly
import Link
import Synchronization

/// How far one flow has come. Written by its applier and read by anybody.
package final class FlowProgress: Sendable {
    private let decodedNext = Atomic<UInt64>(0)
    private let appliedNext = Atomic<UInt64>(0)
    private let outOfStreamCount = Atomic<UInt64>(0)
    private let keys = Atomic<Int>(0)
    private let records = Atomic<Int>(0)
    private let bytes = Atomic<UInt64>(0)
    private let consumedBytes = Atomic<UInt64>(0)
    /// Where the journal begins: the next LSN, and the offset in the flow's bytes, which may be up to a chunk too early.
    private let journalStart = Atomic<UInt64>(0)
    private let journalStartBytes = Atomic<UInt64>(0)
    private let silenceMilliseconds = Atomic<Int64>(0)
    private let changes = Atomic<Int>(0)

    package init() {}

    /// The next LSN to be decoded; `nil` before the stable stream.
    package var decodedLSN: LSN? { Self.lsn(decodedNext) }
    /// The next LSN to be applied, which is what df2redis acknowledges.
    package var appliedLSN: LSN? { Self.lsn(appliedNext) }
    /// The number of batches that did not change the position.
    package var appliedOutOfStreamCount: UInt64 { outOfStreamCount.load(ordering: .acquiring) }
    /// The number of the snapshot's keys that the target has confirmed.
    package var appliedKeys: Int { keys.load(ordering: .relaxed) }
    /// The number of journal records that the target has confirmed.
    package var appliedRecords: Int { records.load(ordering: .relaxed) }
    /// The number of the flow's bytes that are decoded.
    package var decodedBytes: UInt64 { consumedBytes.load(ordering: .acquiring) }
    /// The number of the flow's bytes that the target has confirmed or that contain nothing for the target.
    package var appliedBytes: UInt64 { bytes.load(ordering: .acquiring) }

    /// The average size in bytes of the journal records decoded so far; `nil` if there are none.
    package var bytesPerRecord: Double? {
        let next = decodedNext.load(ordering: .acquiring)
        let start = journalStart.load(ordering: .relaxed)
        let (end, first) = (decodedBytes, journalStartBytes.load(ordering: .relaxed))
        guard next > start, end > first else { return nil }
        return Double(end - first) / Double(next - start)
    }

    /// The maximum number of keys that the journal records decoded so far can have added and removed, not counting commands
    /// on whole databases.
    package var keyChanges: Int { changes.load(ordering: .relaxed) }

    /// How long the target has owed an answer.
    package var targetSilence: Duration { .milliseconds(silenceMilliseconds.load(ordering: .relaxed)) }

    private static func lsn(_ value: borrowing Atomic<UInt64>) -> LSN? {
        let next = value.load(ordering: .acquiring)
        return next == 0 ? nil : LSN(next)
    }

    /// Starts at `mark`, for a flow that is a journal from its first byte on.
    func setResumePoint(_ mark: StreamMark) {
        decoded(next: mark.next.value)
        applied(outOfStreamCount: mark.outOfStreamCount)
        appliedNext.store(mark.next.value, ordering: .releasing)
    }

    func applied(outOfStreamCount: UInt64) {
        self.outOfStreamCount.store(outOfStreamCount, ordering: .releasing)
    }

    func decoded(next: UInt64) {
        if decodedNext.load(ordering: .relaxed) == 0 {
            journalStart.store(next, ordering: .relaxed)
            journalStartBytes.store(decodedBytes, ordering: .relaxed)
        }
        decodedNext.store(next, ordering: .releasing)
    }

    func decoded(keyChanges: Int) { changes.add(keyChanges, ordering: .relaxed) }

    func decoded(bytes: UInt64) { consumedBytes.store(bytes, ordering: .releasing) }

    func applied(next: UInt64?, keys: Int, records: Int, bytes: UInt64) {
        self.keys.add(keys, ordering: .relaxed)
        self.records.add(records, ordering: .relaxed)
        // A snapshot batch that was sent again may be confirmed after its successor.
        self.bytes.store(max(bytes, appliedBytes), ordering: .releasing)
        if let next { appliedNext.store(next, ordering: .releasing) }
    }

    func target(silentFor silence: Duration) {
        silenceMilliseconds.store(silence.milliseconds, ordering: .relaxed)
    }

    /// Notes that everything decoded but not applied contains no commands, only records that are counted.
    func nothingIsPending() { bytes.store(decodedBytes, ordering: .releasing) }
}
