import CLZ4
import CZstd

/// The compression format of a blob in a full sync. Both are frame formats.
package enum BlobFormat: Equatable, Sendable {
    case lz4
    case zstd
}

/// Unpacks compressed blobs, with decoders that are kept from one blob to the next.
///
/// A blob is exactly one frame. LZ4 frames come with linked and with independent blocks.
/// Source: Protocol 3.8.
package struct BlobDecompressor: ~Copyable, @unchecked Sendable {  // one owner, who alone uses the two decoders
    private var lz4: OpaquePointer?
    private var zstd: OpaquePointer?

    package init() {}

    deinit {
        if let lz4 { LZ4F_freeDecompressionContext(lz4) }
        if let zstd { ZSTD_freeDCtx(zstd) }
    }

    /// Appends the content of `source`. If it throws, nothing is appended.
    ///
    /// - Throws: `malformed` for broken, truncated and trailing bytes, `tooLarge` above `Limits.blobBytes`, `noMemory`.
    package mutating func decompress(
        _ source: RawSpan, format: BlobFormat, into output: inout ByteBuffer
    ) throws(WireError) {
        let before = output.count
        do throws(WireError) {
            switch format {
            case .lz4: try decompressLZ4(source, into: &output)
            case .zstd: try decompressZstd(source, into: &output)
            }
        } catch {
            output.truncate(to: before)
            throw error
        }
    }

    private mutating func decompressLZ4(_ source: RawSpan, into output: inout ByteBuffer) throws(WireError) {
        let decoder = try lz4Decoder()
        LZ4F_resetDecompressionContext(decoder)
        var info = LZ4F_frameInfo_t()
        var headBytes = source.byteCount
        var hint = source.withUnsafeBytes { LZ4F_getFrameInfo(decoder, &info, $0.baseAddress, &headBytes) }
        guard LZ4F_isError(hint) == 0, info.frameType == LZ4F_frame else { throw .malformed("no LZ4 frame", offset: 0) }
        guard info.dictID == 0 else {
            throw .unsupported("dictionary of an LZ4 frame", code: UInt64(info.dictID), offset: 0)
        }
        try checkBlobSize(info.contentSize)

        var pieces = Pieces(declared: info.contentSize)
        var consumed = headBytes
        while hint != 0 {
            let room = pieces.nextRoom()
            var sourceCount = source.byteCount - consumed
            let produced = output.appendUninitialized(minimum: room) { memory in
                var targetCount = room
                hint = source.withUnsafeBytes { bytes in
                    let rest = UnsafeRawBufferPointer(rebasing: bytes[consumed...])
                    return LZ4F_decompress(
                        decoder, memory.baseAddress, &targetCount, rest.baseAddress, &sourceCount, nil)
                }
                return LZ4F_isError(hint) == 0 ? targetCount : 0
            }
            guard LZ4F_isError(hint) == 0 else { throw .malformed("broken LZ4 frame", offset: consumed) }
            consumed += sourceCount
            try pieces.add(produced, isStuck: hint != 0 && produced == 0 && sourceCount == 0)
        }
        guard consumed == source.byteCount else { throw .malformed("bytes after an LZ4 frame", offset: consumed) }
    }

    private mutating func lz4Decoder() throws(WireError) -> OpaquePointer {
        if let lz4 { return lz4 }
        let status = LZ4F_createDecompressionContext(&lz4, UInt32(LZ4F_VERSION))
        guard LZ4F_isError(status) == 0, let lz4 else { throw .noMemory("an LZ4 decoder", offset: 0) }
        return lz4
    }

    private mutating func decompressZstd(_ source: RawSpan, into output: inout ByteBuffer) throws(WireError) {
        let decoder = try zstdDecoder()
        ZSTD_DCtx_reset(decoder, ZSTD_reset_session_only)
        guard source.byteCount >= 4, source.littleEndian(UInt32.self, at: 0) == 0xFD2F_B528 else {
            throw .malformed("no ZSTD frame", offset: 0)
        }
        let declared = source.withUnsafeBytes { ZSTD_getFrameContentSize($0.baseAddress, $0.count) }
        guard declared != UInt64(bitPattern: -2) else { throw .malformed("no ZSTD frame", offset: 0) }  // an error
        let isDeclared = declared != UInt64(bitPattern: -1)  // else unknown
        if isDeclared { try checkBlobSize(declared) }

        var pieces = Pieces(declared: isDeclared ? declared : 0)
        var consumed = 0
        var hint = 1
        while hint != 0 {
            let room = pieces.nextRoom()
            let before = consumed
            let produced = output.appendUninitialized(minimum: room) { memory in
                var target = ZSTD_outBuffer(dst: memory.baseAddress, size: room, pos: 0)
                source.withUnsafeBytes { bytes in
                    var rest = ZSTD_inBuffer(src: bytes.baseAddress, size: bytes.count, pos: consumed)
                    hint = ZSTD_decompressStream(decoder, &target, &rest)
                    consumed = rest.pos
                }
                return ZSTD_isError(hint) == 0 ? target.pos : 0
            }
            guard ZSTD_isError(hint) == 0 else { throw .malformed("broken ZSTD frame", offset: before) }
            try pieces.add(produced, isStuck: hint != 0 && produced == 0 && consumed == before)
        }
        guard consumed == source.byteCount else { throw .malformed("bytes after a ZSTD frame", offset: consumed) }
    }

    private mutating func zstdDecoder() throws(WireError) -> OpaquePointer {
        if let zstd { return zstd }
        guard let decoder = ZSTD_createDCtx() else { throw .noMemory("a ZSTD decoder", offset: 0) }
        // The frame's head asks for the memory of the window, which must not be larger than a blob may be.
        ZSTD_DCtx_setParameter(decoder, ZSTD_d_windowLogMax, Int32(Limits.blobBytes.trailingZeroBitCount))
        zstd = decoder
        return decoder
    }
}

private func checkBlobSize(_ count: UInt64) throws(WireError) {
    let limit = UInt64(Limits.blobBytes)
    guard count <= limit else { throw .tooLarge("bytes of a compressed blob", value: count, limit: limit, offset: 0) }
}

/// The room that the next call of a decoder gets: all of it if the frame declares its size, otherwise growing pieces.
private struct Pieces {
    private let declared: Int
    private var produced = 0

    init(declared: UInt64) { self.declared = Int(declared) }

    func nextRoom() -> Int {
        // A frame that is longer than it declares gets one byte more, so that `add` refuses it.
        if declared > 0 { return max(declared - produced, 1) }
        return min(max(produced, 64 << 10), Limits.blobBytes + 1 - produced)
    }

    mutating func add(_ count: Int, isStuck: Bool) throws(WireError) {
        guard !isStuck else { throw .malformed("truncated frame of a compressed blob", offset: 0) }
        produced += count
        guard declared == 0 || produced <= declared else {
            throw .malformed("compressed blob longer than its head says", offset: 0)
        }
        try checkBlobSize(UInt64(produced))
    }
}
