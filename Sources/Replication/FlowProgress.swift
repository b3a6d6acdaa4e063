package import Dragonfly
import Synchronization

/// How far one flow is. Written by its applier, read by everybody.
package final class FlowProgress: Sendable {
    private let decodedNext = Atomic<UInt64>(0)
    private let appliedNext = Atomic<UInt64>(0)
    private let keys = Atomic<Int>(0)
    private let records = Atomic<Int>(0)
    private let bytes = Atomic<UInt64>(0)
    private let lastAppliedArrival = Atomic<Int64>(0)

    package init() {}

    /// The next LSN to be decoded; `nil` before the stable stream.
    package var decodedLSN: LSN? { Self.lsn(decodedNext) }
    /// The next LSN to be applied: what is acknowledged.
    package var appliedLSN: LSN? { Self.lsn(appliedNext) }
    /// Keys of the snapshot that the target has confirmed.
    package var appliedKeys: Int { keys.load(ordering: .relaxed) }
    /// Journal records that the target has confirmed.
    package var appliedRecords: Int { records.load(ordering: .relaxed) }
    /// Bytes of the flow that the target has confirmed.
    package var appliedBytes: UInt64 { bytes.load(ordering: .relaxed) }
    /// Unix time in milliseconds at which the newest confirmed data had arrived.
    package var appliedArrival: Int64 { lastAppliedArrival.load(ordering: .relaxed) }

    private static func lsn(_ value: borrowing Atomic<UInt64>) -> LSN? {
        let next = value.load(ordering: .acquiring)
        return next == 0 ? nil : LSN(next)
    }

    func decoded(next: UInt64) { decodedNext.store(next, ordering: .releasing) }

    func applied(next: UInt64?, keys: Int, records: Int, bytes: UInt64, arrivedAt: Int64) {
        self.keys.add(keys, ordering: .relaxed)
        self.records.add(records, ordering: .relaxed)
        self.bytes.store(bytes, ordering: .relaxed)
        lastAppliedArrival.store(arrivedAt, ordering: .relaxed)
        if let next { appliedNext.store(next, ordering: .releasing) }
    }
}
