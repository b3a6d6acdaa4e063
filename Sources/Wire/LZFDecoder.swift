/// Expands one LZF string piece by piece, so that neither its bytes nor its text are ever completely in memory.
///
/// Input may end anywhere. The last 8 KiB of text, which is as far as a copy reaches back, are kept here, so the
/// caller may take the text out of its buffer after each call. The layout is at `LZF`.
package struct LZFDecoder: Sendable {
    private var state: State
    private var window = [UInt8](repeating: 0, count: LZF.windowBytes)

    /// - Throws: `malformed` if `compressedCount` bytes cannot hold that much text.
    package init(compressedCount: Int, uncompressedCount: Int) throws(WireError) {
        try LZF.checkCounts(compressed: compressedCount, uncompressed: uncompressedCount)
        state = State(inputLeft: compressedCount, outputLeft: uncompressedCount)
    }

    /// The number of LZF bytes that are still to be read.
    package var compressedLeft: Int { state.inputLeft }
    /// Whether everything is read and given out.
    package var isFinished: Bool { state.isFinished }

    /// Expands what `reader` has of the string, up to its end, and appends up to `limit` bytes of text.
    ///
    /// It takes no byte after the string. If it appended `limit` bytes, there may be more text without new input.
    ///
    /// - Throws: `malformed` unless the string ends exactly where its text does. The decoder cannot be used after that.
    /// - Returns: `isFinished`.
    @discardableResult
    package mutating func decode(
        _ reader: inout ByteReader, into output: inout ByteBuffer, limit: Int
    ) throws(WireError) -> Bool {
        precondition(limit > 0, "each call gives out a byte at least")
        let start = reader.offset
        guard let input = reader.readSpan(min(reader.remaining, state.inputLeft)) else { return isFinished }
        let room = min(limit, state.outputLeft)
        var consumed = 0
        do throws(WireError) {
            try output.appendUninitialized(minimum: room) { memory throws(WireError) in
                let target = UnsafeMutableRawBufferPointer(rebasing: memory[..<room])
                return try state.run(input, consumed: &consumed, into: target, window: &window)
            }
        } catch {
            throw error.shifted(by: start)
        }
        reader.rewind(to: start + consumed)
        return isFinished
    }
}

private struct State: Sendable {
    enum Step {
        case control
        /// This many literal bytes follow.
        case literal(Int)
        /// The length byte of a long copy follows, then its offset byte.
        case length(offsetHigh: Int)
        /// The offset byte of a copy of `count` bytes follows.
        case offset(offsetHigh: Int, count: Int)
        /// This many bytes are still to be copied from `distance` back.
        case copy(distance: Int, count: Int)
    }

    var step = Step.control
    var inputLeft: Int
    /// The number of bytes of text that have not been given out, including those of the current step.
    var outputLeft: Int
    /// The number of bytes of text that have been given out.
    var produced = 0

    init(inputLeft: Int, outputLeft: Int) {
        self.inputLeft = inputLeft
        self.outputLeft = outputLeft
    }

    var isFinished: Bool {
        guard case .control = step else { return false }
        return inputLeft == 0 && outputLeft == 0
    }

    /// Continues until `input` is used up or `output` is full.
    ///
    /// - Returns: the number of bytes written to `output`.
    mutating func run(
        _ input: RawSpan, consumed: inout Int, into output: UnsafeMutableRawBufferPointer, window: inout [UInt8]
    ) throws(WireError) -> Int {
        var written = 0
        let mask = LZF.windowBytes - 1
        while true {
            if case .copy(let distance, let count) = step {
                let piece = min(count, output.count - written)
                for index in 0..<piece {
                    let byte = window[(produced + index - distance) & mask]
                    window[(produced + index) & mask] = byte
                    output[written + index] = byte
                }
                give(piece, &written)
                step = piece == count ? .control : .copy(distance: distance, count: count - piece)
                if piece < count { return written }
                continue
            }
            guard consumed < input.byteCount else {
                try checkInputEnd(at: consumed)
                return written
            }
            switch step {
            case .literal(let count):
                let piece = min(count, output.count - written, input.byteCount - consumed)
                guard piece > 0 else { return written }
                for index in 0..<piece {
                    let byte = input.byte(at: consumed + index)
                    window[(produced + index) & mask] = byte
                    output[written + index] = byte
                }
                take(piece, &consumed)
                give(piece, &written)
                step = piece == count ? .control : .literal(count - piece)
            default:
                let byte = Int(input.byte(at: consumed))
                step = try stepBehind(byte, at: consumed)
                take(1, &consumed)
            }
        }
    }

    /// The step after a control, length or offset byte.
    private func stepBehind(_ byte: Int, at offset: Int) throws(WireError) -> Step {
        switch step {
        case .length(let high): return .offset(offsetHigh: high, count: 9 + byte)
        case .offset(let high, let count):
            let distance = high << 8 + byte + 1
            guard distance <= produced else { throw .malformed("LZF copy from before the text", offset: offset) }
            try checkRoom(count, at: offset)
            return .copy(distance: distance, count: count)
        default:
            if byte < 0x20 {
                guard byte + 1 < inputLeft else { throw .malformed("truncated LZF literal", offset: offset) }
                try checkRoom(byte + 1, at: offset)
                return .literal(byte + 1)
            }
            let high = byte & 0x1F
            return byte < 0xE0 ? .offset(offsetHigh: high, count: byte >> 5 + 2) : .length(offsetHigh: high)
        }
    }

    private func checkRoom(_ count: Int, at offset: Int) throws(WireError) {
        guard count <= outputLeft else { throw .malformed("LZF string longer than its text", offset: offset) }
    }

    private func checkInputEnd(at offset: Int) throws(WireError) {
        guard inputLeft == 0 else { return }
        guard case .control = step else { throw .malformed("truncated LZF copy", offset: offset) }
        guard outputLeft == 0 else { throw .malformed("LZF string ends before its text", offset: offset) }
    }

    private mutating func take(_ count: Int, _ consumed: inout Int) {
        consumed += count
        inputLeft -= count
    }

    private mutating func give(_ count: Int, _ written: inout Int) {
        written += count
        produced += count
        outputLeft -= count
    }
}
