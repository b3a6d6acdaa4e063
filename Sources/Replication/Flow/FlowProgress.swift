package import Dragonfly
import Link
import Synchronization

/// How far one flow is. Written by its applier, read by everybody.
package final class FlowProgress: Sendable {
    private let decodedNext = Atomic<UInt64>(0)
    private let appliedNext = Atomic<UInt64>(0)
    private let appliedBesideCount = Atomic<UInt64>(0)
    private let keys = Atomic<Int>(0)
    private let records = Atomic<Int>(0)
    private let bytes = Atomic<UInt64>(0)
    private let consumedBytes = Atomic<UInt64>(0)
    /// Where the journal begins: the next LSN and the byte of the flow, a chunk too early at most.
    private let journalStart = Atomic<UInt64>(0)
    private let journalStartBytes = Atomic<UInt64>(0)
    private let silenceMilliseconds = Atomic<Int64>(0)
    private let changes = Atomic<Int>(0)

    package init() {}

    /// The next LSN to be decoded; `nil` before the stable stream.
    package var decodedLSN: LSN? { Self.lsn(decodedNext) }
    /// The next LSN to be applied: what is acknowledged.
    package var appliedLSN: LSN? { Self.lsn(appliedNext) }
    /// Batches that have left the position where it was.
    package var appliedBeside: UInt64 { appliedBesideCount.load(ordering: .acquiring) }
    /// Keys of the snapshot that the target has confirmed.
    package var appliedKeys: Int { keys.load(ordering: .relaxed) }
    /// Journal records that the target has confirmed.
    package var appliedRecords: Int { records.load(ordering: .relaxed) }
    /// Bytes of the flow that are decoded.
    package var decodedBytes: UInt64 { consumedBytes.load(ordering: .acquiring) }
    /// Bytes of the flow that the target has confirmed, or that mean nothing to it.
    package var appliedBytes: UInt64 { bytes.load(ordering: .acquiring) }

    /// Bytes of a journal record on the average of those decoded so far; `nil` while there is none.
    package var bytesPerRecord: Double? {
        let next = decodedNext.load(ordering: .acquiring)
        let start = journalStart.load(ordering: .relaxed)
        let (end, first) = (decodedBytes, journalStartBytes.load(ordering: .relaxed))
        guard next > start, end > first else { return nil }
        return Double(end - first) / Double(next - start)
    }

    /// How many keys the journal records decoded so far can have added and removed at most, but for whole databases.
    package var keyChanges: Int { changes.load(ordering: .relaxed) }

    /// How long the target has owed an answer.
    package var targetSilence: Duration { .milliseconds(silenceMilliseconds.load(ordering: .relaxed)) }

    private static func lsn(_ value: borrowing Atomic<UInt64>) -> LSN? {
        let next = value.load(ordering: .acquiring)
        return next == 0 ? nil : LSN(next)
    }

    /// The flow is a journal from its first byte on.
    func setResumePoint(_ mark: StreamMark) {
        decoded(next: mark.next.value)
        applied(beside: mark.beside)
        appliedNext.store(mark.next.value, ordering: .releasing)
    }

    func applied(beside: UInt64) { appliedBesideCount.store(beside, ordering: .releasing) }

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
        // A batch of a snapshot that was sent again may be later than the one after it.
        self.bytes.store(max(bytes, appliedBytes), ordering: .releasing)
        if let next { appliedNext.store(next, ordering: .releasing) }
    }

    func target(silentFor silence: Duration) {
        silenceMilliseconds.store(silence.milliseconds, ordering: .relaxed)
    }

    /// What is decoded and not applied has no commands, such as a record that only counts.
    func nothingIsPending() { bytes.store(decodedBytes, ordering: .releasing) }
}
