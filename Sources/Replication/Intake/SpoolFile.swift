import DequeModule
import Glibc
import Link

/// A queue of bytes on disk. It is written at the end and read from the front, in segments that are freed once they are
/// read.
///
/// The segments have no names (they are unlinked when created), so a crash leaves no file. One thread writes and one
/// reads. The intake keeps the counts between them under its lock.
final class SpoolFile: @unchecked Sendable {  // the spooler writes, the consumer reads; segments are locked
    static let defaultSegmentBytes = 64 << 20

    private let directory: String
    private let budget: SpoolBudget
    private let segmentBytes: Int
    private let segments = Lock(Deque<Segment>())

    /// A file of the queue. The file and its part of the budget are released when the last reference is released.
    private final class Segment: @unchecked Sendable {  // only the writer uses `written`, and `deinit`
        let descriptor: Int32
        /// The offset of the segment's first byte in the queue.
        let start: UInt64
        private let budget: SpoolBudget
        private var written = 0

        init(descriptor: Int32, start: UInt64, budget: SpoolBudget) {
            self.descriptor = descriptor
            self.start = start
            self.budget = budget
        }

        deinit {
            close(descriptor)
            budget.releaseDisk(written)
        }

        /// Takes the bytes from the budget that the segment needs beyond its size to reach `end`.
        func reserve(upTo end: Int) -> Bool {
            guard end > written else { return true }
            guard budget.reserveDisk(end - written) else { return false }
            written = end
            return true
        }
    }

    init(directory: String, budget: SpoolBudget, segmentBytes: Int = SpoolFile.defaultSegmentBytes) {
        precondition(segmentBytes % Slab.capacity == 0, "slabs do not straddle segments")
        self.directory = directory
        self.budget = budget
        self.segmentBytes = segmentBytes
    }

    /// Writes `bytes` at `offset`, the end of the queue.
    ///
    /// - Throws: `IntakeShortage` if the budget or the disk is exhausted.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(IntakeShortage) {
        var done = 0
        while done < bytes.count {
            let place = offset + UInt64(done)
            let segment = try segment(for: place)
            let within = Int(place - segment.start)
            let count = min(bytes.count - done, segmentBytes - within)
            guard segment.reserve(upTo: within + count) else {
                throw .limit("spool.diskBytes is spent")
            }
            let piece = UnsafeRawBufferPointer(rebasing: bytes[done..<(done + count)])
            let result = retryingInterrupts {
                pwrite(segment.descriptor, piece.baseAddress, piece.count, off_t(within))
            }
            guard result > 0 else {
                throw .disk(
                    SystemError("write", errno: result == 0 ? ENOSPC : errno, peer: "the spool in \(directory)"))
            }
            done += result
        }
    }

    private func segment(for offset: UInt64) throws(IntakeShortage) -> Segment {
        if let last = segments.withLock({ $0.last }), offset < last.start + UInt64(segmentBytes) { return last }
        let descriptor: Int32
        do throws(SystemError) {
            descriptor = try UnnamedFile.open(in: directory, purpose: "the spool")
        } catch {
            throw .disk(error)
        }
        let segment = Segment(descriptor: descriptor, start: offset, budget: budget)
        segments.withLock { $0.append(segment) }
        return segment
    }

    /// Reads up to `buffer.count` bytes at `offset`, the front of the queue, and frees the segments before it.
    ///
    /// - Throws: `SystemError`; EIO if the bytes are missing.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(SystemError) -> Int {
        // The segments are closed, and so deleted, outside of the lock: that takes time, and the writer must not wait for
        // it.
        var passed: [Segment] = []
        let segment: Segment? = segments.withLock { segments in
            while let first = segments.first, first.start + UInt64(segmentBytes) <= offset {
                passed.append(segments.removeFirst())
            }
            return segments.first
        }
        passed = []
        guard let segment else { throw SystemError("read", errno: EIO, peer: "the spool in \(directory)") }
        let within = Int(offset - segment.start)
        let room = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(buffer.count, segmentBytes - within)])
        let result = retryingInterrupts { pread(segment.descriptor, room.baseAddress, room.count, off_t(within)) }
        guard result > 0 else {
            throw SystemError("read", errno: result == 0 ? EIO : errno, peer: "the spool in \(directory)")
        }
        return result
    }
}
