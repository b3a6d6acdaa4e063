import Wire

/// Feeds a flow's decoder from its intake. Whole chunks are decoded in place; units that straddle two chunks pass through a
/// small window.
final class FlowFeed {
    private let intake: Intake
    private let progress: FlowProgress
    private var decoder: FlowDecoder
    /// Bytes that the decoder must see again with more bytes after them.
    private var window = ByteBuffer(capacity: 16 << 10)
    /// The intake's last chunk and the offset of its first byte that is not decoded.
    private var chunk: (bytes: IntakeChunk, offset: Int)?
    /// The number of the flow's bytes that the decoder has consumed.
    private(set) var decodedBytes: UInt64 = 0 {
        didSet { progress.decoded(bytes: decodedBytes) }
    }
    /// The Unix time in milliseconds at which the oldest of the bytes being decoded arrived.
    private var oldestArrival: Int64 = 0

    init(intake: Intake, decoder: consuming FlowDecoder, progress: FlowProgress) {
        self.intake = intake
        self.progress = progress
        self.decoder = decoder
    }

    /// Whether nothing more can be decoded before more bytes arrive.
    var isEmpty: Bool { chunk == nil && intake.queuedBytes == 0 }

    /// The Unix time in milliseconds at which the oldest bytes arrived that wait to be decoded; `nil` if none wait.
    var oldestWaiting: Int64? {
        if chunk != nil || !window.isEmpty { return oldestArrival }
        return intake.oldestArrival
    }

    /// Decodes one chunk or the rest of one, up to a full batch.
    ///
    /// - Returns: `false` if nothing more can be decoded now.
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
        // A unit that began in the previous chunk is as old as that chunk.
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

    /// Keeps the bytes that a decode of the chunk has left: in the chunk if the decoder paused, in the window if the
    /// decoder needs more bytes.
    private func keepRest(of bytes: IntakeChunk, from offset: Int, isPaused: Bool) {
        if isPaused {
            // Even if no byte is left, the decoder may hold more data from a compressed blob.
            chunk = (bytes, offset)
        } else if offset == bytes.count {
            chunk = nil
        } else {
            bytes.withBytes(from: offset) { window.append($0) }
            chunk = nil
        }
    }

    /// Decodes a unit whose beginning is in the window and whose end is in this chunk or a later one. Only as much of the
    /// chunk as needed is copied to the window.
    private func decodeAcross(
        _ bytes: IntakeChunk, from start: Int, into encoder: FlowEncoder
    ) throws(FlowDecodingError) {
        // Take the window out of `self` meanwhile, so that its bytes can be read while `self` changes.
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
                // The window's old bytes are consumed; the rest is decoded in the chunk.
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
