import Base
import CLZ4
import CZstd
import Testing
import Wire

/// `bytes` as one LZ4 frame.
func lz4Frame(
    _ bytes: [UInt8], linked: Bool = true, declaresSize: Bool = true, hasChecksum: Bool = false
) -> [UInt8] {
    var preferences = LZ4F_preferences_t()
    preferences.frameInfo.blockMode = linked ? LZ4F_blockLinked : LZ4F_blockIndependent
    preferences.frameInfo.contentSize = declaresSize ? UInt64(bytes.count) : 0
    preferences.frameInfo.contentChecksumFlag = hasChecksum ? LZ4F_contentChecksumEnabled : LZ4F_noContentChecksum
    let room = LZ4F_compressFrameBound(bytes.count, &preferences)
    return [UInt8](unsafeUninitializedCapacity: room) { memory, count in
        count = LZ4F_compressFrame(memory.baseAddress, room, bytes, bytes.count, &preferences)
        precondition(LZ4F_isError(count) == 0, "a frame of the tests is written")
    }
}

/// `bytes` as one ZSTD frame.
func zstdFrame(_ bytes: [UInt8], declaresSize: Bool = true) -> [UInt8] {
    let encoder = ZSTD_createCCtx()
    defer { ZSTD_freeCCtx(encoder) }
    ZSTD_CCtx_setParameter(encoder, ZSTD_c_contentSizeFlag, declaresSize ? 1 : 0)
    let room = ZSTD_compressBound(bytes.count)
    return [UInt8](unsafeUninitializedCapacity: room) { memory, count in
        count = ZSTD_compress2(encoder, memory.baseAddress, room, bytes, bytes.count)
        precondition(ZSTD_isError(count) == 0, "a frame of the tests is written")
    }
}

/// Bytes that compress, but not to nothing: numbers in decimal.
private func numbers(_ byteCount: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    var random = SplitMix64(seed: 3)
    while bytes.count < byteCount { bytes += Array("\(random.next() % 100_000),".utf8) }
    return Array(bytes[..<byteCount])
}

private func decompress(_ bytes: [UInt8], _ format: BlobFormat) throws(WireError) -> [UInt8] {
    var decompressor = BlobDecompressor()
    var output = ByteBuffer()
    try decompressor.decompress(bytes.span.bytes, format: format, into: &output)
    return output.array
}

@Suite struct `Compressed blobs` {
    /// Protocol V21: 60 times the same key, without the opcode and the string's length.
    private static let vector = hex(
        """
        04 22 4d 18 68 40 2c 01 00 00 00 00 00 00 84
        10 00 00 00 | 5f 00 01 6b 01 76 05 00 ff 10 50 00 01 6b 01 76
        00 00 00 00
        """)

    @Test func `The vector is unpacked`() throws {
        #expect(try decompress(Self.vector, .lz4) == Array(repeating: hex("00 01 6b 01 76"), count: 60).flatMap { $0 })
    }

    @Test(arguments: [0, 1, 255, 65_536, 65_537, 1_000_000])
    func `Frames of every kind are unpacked`(byteCount: Int) throws {
        let content = numbers(byteCount)
        for linked in [false, true] {
            for declaresSize in [false, true] {
                let frame = lz4Frame(content, linked: linked, declaresSize: declaresSize, hasChecksum: linked)
                #expect(try decompress(frame, .lz4) == content)
            }
        }
        for declaresSize in [false, true] {
            #expect(try decompress(zstdFrame(content, declaresSize: declaresSize), .zstd) == content)
        }
    }

    @Test func `The decoders work again after good and broken frames, and append to the buffer`() throws {
        let content = numbers(200_000)
        let lz4 = lz4Frame(content)
        let zstd = zstdFrame(content)
        var decompressor = BlobDecompressor()
        var output = ByteBuffer()
        output.append("before")
        for _ in 0..<3 {
            for (frame, format) in [(lz4, BlobFormat.lz4), (zstd, .zstd)] {
                let cut = Array(frame[..<9000])
                var isRefused = false
                do throws(WireError) {
                    try decompressor.decompress(cut.span.bytes, format: format, into: &output)
                } catch {
                    isRefused = true
                }
                #expect(isRefused)
                #expect(output.array == Array("before".utf8))
                try decompressor.decompress(frame.span.bytes, format: format, into: &output)
                #expect(output.array == Array("before".utf8) + content)
                output.truncate(to: 6)
            }
        }
    }

    @Test func `Every truncated frame is malformed`() {
        let content = numbers(600)
        for (frame, format) in [
            (lz4Frame(content), BlobFormat.lz4), (lz4Frame(content, declaresSize: false), .lz4),
            (zstdFrame(content), .zstd), (zstdFrame(content, declaresSize: false), .zstd),
        ] {
            for count in 0..<frame.count {
                let error = #expect(throws: WireError.self) { try decompress(Array(frame[..<count]), format) }
                guard case .malformed = error else {
                    Issue.record("cut at \(count): \(String(describing: error))")
                    continue
                }
            }
        }
    }

    @Test func `Bytes after the frame, even a second frame, are malformed`() {
        let content = numbers(600)
        let lz4 = lz4Frame(content)
        let zstd = zstdFrame(content)
        for rest in [[0], lz4, zstd] {
            #expect(throws: WireError.malformed("bytes after an LZ4 frame", offset: lz4.count)) {
                try decompress(lz4 + rest, .lz4)
            }
            #expect(throws: WireError.malformed("bytes after a ZSTD frame", offset: zstd.count)) {
                try decompress(zstd + rest, .zstd)
            }
        }
        #expect(throws: WireError.malformed("no LZ4 frame", offset: 0)) { try decompress(zstd, .lz4) }
        #expect(throws: WireError.malformed("no ZSTD frame", offset: 0)) { try decompress(lz4, .zstd) }
        // skippable frames hold nothing of a flow
        let skippable = hex("50 2a 4d 18 01 00 00 00 00")
        #expect(throws: WireError.malformed("no LZ4 frame", offset: 0)) { try decompress(skippable, .lz4) }
        #expect(throws: WireError.malformed("no ZSTD frame", offset: 0)) { try decompress(skippable, .zstd) }
    }

    @Test func `More bytes than the limit are refused, declared in the head or not`() {
        let zeros = [UInt8](repeating: 0, count: Limits.blobBytes + 1)
        let limit = UInt64(Limits.blobBytes)
        let expected = WireError.tooLarge("bytes of a compressed blob", value: limit + 1, limit: limit, offset: 0)
        for declaresSize in [false, true] {
            #expect(throws: expected) { try decompress(lz4Frame(zeros, declaresSize: declaresSize), .lz4) }
            #expect(throws: expected) { try decompress(zstdFrame(zeros, declaresSize: declaresSize), .zstd) }
        }
    }

    @Test func `Cut and mutated frames never trap`() {
        let content = numbers(600)
        feedHostileBytes(Self.vector) { bytes throws(WireError) in try decompress(bytes, .lz4).count == 300 }
        feedHostileBytes(lz4Frame(content)) { bytes throws(WireError) in try decompress(bytes, .lz4).count == 600 }
        feedHostileBytes(zstdFrame(content)) { bytes throws(WireError) in try decompress(bytes, .zstd).count == 600 }
    }
}
