import Wire

/// Feeds a flow's decoder out of its intake: whole chunks where they lie, and the units that straddle two of them through
/// a small window.
///
/// Not Sendable: it lives on its applier's queue.
final class FlowFeed {
    private let intake: Intake
    private let progress: FlowProgress
    private var decoder: FlowDecoder
    /// Bytes that the decoder wants to see again, with more after them.
    private var window = ByteBuffer(capacity: 16 << 10)
    /// What of the intake's last chunk has not been decoded.
    private var chunk: (bytes: IntakeChunk, offset: Int)?
    /// Bytes of the flow that the decoder has consumed.
    private(set) var decodedBytes: UInt64 = 0 {
        didSet { progress.decoded(bytes: decodedBytes) }
    }
    /// Unix time in milliseconds at which the oldest of what is being decoded arrived.
    private var oldestArrival: Int64 = 0

    init(intake: Intake, decoder: consuming FlowDecoder, progress: FlowProgress) {
        self.intake = intake
        self.progress = progress
        self.decoder = decoder
    }

    /// Nothing more can be decoded before more arrives.
    var isEmpty: Bool { chunk == nil && intake.queuedBytes == 0 }

    /// Unix time in milliseconds at which the oldest bytes arrived that wait to be decoded; `nil` when none wait.
    var oldestWaiting: Int64? {
        if chunk != nil || !window.isEmpty { return oldestArrival }
        return intake.oldestArrival
    }

    /// Decodes what there is, up to a full batch.
    ///
    /// - Returns: `false` when nothing more can be decoded now.
    func decodeMore(into encoder: FlowEncoder) -> Bool {
        if chunk == nil {
            switch intake.next() {
            case .chunk(let bytes): chunk = (bytes, 0)
            case .empty, .end: return false
            case .failed(let error):
                encoder.fail(.file, "what was spooled cannot be read back: \(error)")
                return false
            }
        }
        guard let (bytes, offset) = chunk else { return false }
        // A unit that began in the chunk before is as old as that.
        oldestArrival = window.isEmpty ? bytes.oldestArrival : min(oldestArrival, bytes.oldestArrival)
        encoder.setArrival(newest: bytes.arrivedAt, oldest: oldestArrival)
        encoder.adjustDeadlines(oldestArrival: oldestArrival, limit: FlowEncoder.deadlineBytes)
        do throws(FlowDecodingError) {
            if window.isEmpty {
                let consumed = try decodeDirectly(bytes, from: offset, into: encoder)
                keepRest(of: bytes, from: offset + consumed, isPaused: encoder.isPaused)
            } else {
                try decodeAcross(bytes, from: offset, into: encoder)
            }
        } catch {
            encoder.fail(.init(error.cause), "\(error)" + (encoder.masterVersion.map { ", master \($0)" } ?? ""))
        }
        return encoder.halt == nil
    }

    private func decodeDirectly(
        _ bytes: IntakeChunk, from offset: Int, into encoder: FlowEncoder
    ) throws(FlowDecodingError) -> Int {
        var sink = encoder
        let consumed = try bytes.withBytes(from: offset) { (span) throws(FlowDecodingError) in
            try decoder.decode(span, into: &sink)
        }
        decodedBytes += UInt64(consumed)
        return consumed
    }

    /// After a decode that began at the chunk's bytes: what is left waits, here if the decoder paused, in the window if it
    /// needs more.
    private func keepRest(of bytes: IntakeChunk, from offset: Int, isPaused: Bool) {
        if isPaused {
            // Even with no byte left: the decoder may hold more, out of a compressed blob.
            chunk = (bytes, offset)
        } else if offset == bytes.count {
            chunk = nil
        } else {
            bytes.withBytes(from: offset) { window.append($0) }
            chunk = nil
        }
    }

    /// The window holds the beginning of a unit whose end is in this chunk, or further on. Only as much of the chunk as is
    /// needed is copied after it.
    private func decodeAcross(
        _ bytes: IntakeChunk, from start: Int, into encoder: FlowEncoder
    ) throws(FlowDecodingError) {
        // The window leaves `self` for the time, so that its bytes can be read while `self` changes.
        var window = ByteBuffer()
        swap(&window, &self.window)
        defer { swap(&window, &self.window) }
        var offset = start
        var step = 4 << 10
        repeat {
            let before = window.count
            let count = min(step, bytes.count - offset)
            bytes.withBytes(from: offset) { window.append($0.extracting(first: count)) }
            offset += count
            var sink = encoder
            let consumed = try decoder.decode(window.bytes, into: &sink)
            decodedBytes += UInt64(consumed)
            if consumed >= before {
                // The window's own bytes are through: the rest is decoded where it lies.
                offset -= window.count - consumed
                window.removeAll()
                break
            }
            window.removeFirst(consumed)
            step *= 2
        } while offset < bytes.count && !encoder.isPaused
        chunk = offset == bytes.count && !encoder.isPaused ? nil : (bytes, offset)
    }
}
