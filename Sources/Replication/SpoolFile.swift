import DequeModule
import Glibc
import Link

/// A queue of bytes on disk: written at the end, read from the front, in segments that are given back once read.
///
/// The segments have no names (they are unlinked at birth), so a crash leaves nothing behind. One thread writes, one
/// reads; the counts between them are the intake's, under its lock.
final class SpoolFile: @unchecked Sendable {  // `write` is the producer's, `read` the consumer's; segments are locked
    static let segmentBytes = 64 << 20

    /// `O_TMPFILE` of <fcntl.h>, a macro that Swift does not import: a file without a name.
    private static let unnamed: Int32 = 0o20_200_000

    private let directory: String
    private let budget: SpoolBudget
    private let segments = Lock(Deque<Segment>())

    private final class Segment: Sendable {
        let descriptor: Int32
        /// Offset of its first byte in the queue.
        let start: UInt64

        init(descriptor: Int32, start: UInt64) {
            self.descriptor = descriptor
            self.start = start
        }

        deinit { close(descriptor) }
    }

    init(directory: String, budget: SpoolBudget) {
        self.directory = directory
        self.budget = budget
    }

    deinit {
        let count = segments.withLock { $0.count }
        budget.giveBackDisk(count * Self.segmentBytes)
    }

    /// Writes `bytes` at `offset`, the end of the queue.
    ///
    /// - Throws: `SystemError`; ENOSPC when the budget or the disk is spent.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(SystemError) {
        var written = 0
        while written < bytes.count {
            let place = offset + UInt64(written)
            let segment = try segment(for: place)
            let within = Int(place - segment.start)
            let count = min(bytes.count - written, Self.segmentBytes - within)
            let piece = UnsafeRawBufferPointer(rebasing: bytes[written..<(written + count)])
            let result = retryingInterrupts {
                pwrite(segment.descriptor, piece.baseAddress, piece.count, off_t(within))
            }
            guard result > 0 else {
                throw SystemError("write", errno: result == 0 ? ENOSPC : errno, peer: "the spool in \(directory)")
            }
            written += result
        }
    }

    private func segment(for offset: UInt64) throws(SystemError) -> Segment {
        if let last = segments.withLock({ $0.last }), offset < last.start + UInt64(Self.segmentBytes) { return last }
        guard budget.takeDisk(Self.segmentBytes) else {
            throw SystemError("write", errno: ENOSPC, peer: "the spool in \(directory) (spool.diskBytes is spent)")
        }
        let descriptor = open(directory, Self.unnamed | O_RDWR | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            let code = errno
            budget.giveBackDisk(Self.segmentBytes)
            throw SystemError("open", errno: code, peer: "the spool in \(directory)")
        }
        let segment = Segment(descriptor: descriptor, start: offset)
        segments.withLock { $0.append(segment) }
        return segment
    }

    /// Reads up to `buffer.count` bytes at `offset`, the front of the queue, and gives back the segments before it.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(SystemError) -> Int {
        let (segment, passed): (Segment?, Int) = segments.withLock { segments in
            var passed = 0
            while let first = segments.first, first.start + UInt64(Self.segmentBytes) <= offset {
                segments.removeFirst()
                passed += 1
            }
            return (segments.first, passed)
        }
        budget.giveBackDisk(passed * Self.segmentBytes)
        guard let segment else { return 0 }
        let within = Int(offset - segment.start)
        let room = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(buffer.count, Self.segmentBytes - within)])
        let result = retryingInterrupts { pread(segment.descriptor, room.baseAddress, room.count, off_t(within)) }
        guard result >= 0 else { throw SystemError("read", errno: errno, peer: "the spool in \(directory)") }
        return result
    }
}
