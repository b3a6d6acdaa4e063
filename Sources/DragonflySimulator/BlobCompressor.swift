import CLZ4
import CZstd

/// Turns a flushed buffer into a compressed blob as the master does (Protocol 3.8).
enum BlobCompressor {
    static let smallestBytes = 256
    static let largestBytes = 1 << 20
    private static let worstRatio = 0.95
    private static let zstdLevel: Int32 = 2

    /// Returns `bytes` as a compressed blob, or unchanged if their size is out of range, they shrink by less than 5%,
    /// or `compression` has no blobs.
    static func blob(_ bytes: [UInt8], _ compression: Compression) -> [UInt8] {
        guard (smallestBytes...largestBytes).contains(bytes.count) else { return bytes }
        let opcode: UInt8
        let compressed: [UInt8]?
        switch compression {
        case .none, .lzf: return bytes
        case .zstd: (opcode, compressed) = (0xC9, zstd(bytes))
        case .lz4: (opcode, compressed) = (0xCA, lz4(bytes))
        }
        guard let compressed, Double(compressed.count) <= Double(bytes.count) * worstRatio else { return bytes }
        var writer = PieceWriter()
        writer.bytes.reserveCapacity(compressed.count + 6)
        writer.byte(opcode)
        writer.rawString(compressed)
        return writer.bytes
    }

    /// One frame with the content size, without checksums, in 64 KB blocks; linked when there is more than one block.
    private static func lz4(_ bytes: [UInt8]) -> [UInt8]? {
        var preferences = LZ4F_preferences_t()
        preferences.frameInfo.blockSizeID = LZ4F_max64KB
        preferences.frameInfo.blockMode = LZ4F_blockLinked
        preferences.frameInfo.contentSize = UInt64(bytes.count)
        return output(LZ4F_compressFrameBound(bytes.count, &preferences)) { room in
            let count = LZ4F_compressFrame(room.baseAddress, room.count, bytes, bytes.count, &preferences)
            return LZ4F_isError(count) != 0 ? nil : count
        }
    }

    private static func zstd(_ bytes: [UInt8]) -> [UInt8]? {
        output(ZSTD_compressBound(bytes.count)) { room in
            let count = ZSTD_compress(room.baseAddress, room.count, bytes, bytes.count, zstdLevel)
            return ZSTD_isError(count) != 0 ? nil : count
        }
    }

    private static func output(_ capacity: Int, _ body: (UnsafeMutableBufferPointer<UInt8>) -> Int?) -> [UInt8]? {
        var isFailed = false
        let result = [UInt8](unsafeUninitializedCapacity: capacity) { room, count in
            count = body(room) ?? 0
            isFailed = count == 0
        }
        return isFailed ? nil : result
    }
}

/// LZF (Protocol 3.3): a greedy compressor that is good enough to be decompressed.
enum LZFCompressor {
    private static let window = 8192
    private static let longestMatch = 264
    private static let longestLiteral = 32

    /// Compresses `bytes`; `nil` if the result is not smaller.
    static func compress(_ bytes: [UInt8]) -> [UInt8]? {
        var output: [UInt8] = []
        var places: [UInt32: Int] = [:]
        var literalStart = 0
        var index = 0
        func flushLiterals(upTo end: Int) {
            while literalStart < end {
                let count = min(longestLiteral, end - literalStart)
                output.append(UInt8(count - 1))
                output += bytes[literalStart..<(literalStart + count)]
                literalStart += count
            }
        }
        while index + 2 < bytes.count {
            let three = UInt32(bytes[index]) << 16 | UInt32(bytes[index + 1]) << 8 | UInt32(bytes[index + 2])
            let place = places.updateValue(index, forKey: three)
            guard let place, index - place <= window else {
                index += 1
                continue
            }
            var length = 3
            while length < longestMatch, index + length < bytes.count, bytes[place + length] == bytes[index + length] {
                length += 1
            }
            flushLiterals(upTo: index)
            let distance = index - place - 1
            let code = length - 2
            if code < 7 {
                output.append(UInt8(code << 5 | distance >> 8))
            } else {
                output.append(UInt8(7 << 5 | distance >> 8))
                output.append(UInt8(code - 7))
            }
            output.append(UInt8(distance & 255))
            index += length
            literalStart = index
        }
        flushLiterals(upTo: bytes.count)
        return output.count < bytes.count ? output : nil
    }
}
