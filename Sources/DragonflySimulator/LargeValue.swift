import Base

/// A value that is generated while it is sent: of any size, never whole in memory.
package struct LargeValue: Sendable {
    package enum Kind: String, Sendable, CaseIterable {
        case string, list, set, hash, zset
    }

    package var kind: Kind
    package var key: [UInt8]
    package var database = 0
    package var expiresAt: Int64?
    /// The number of elements, fields or members; 1 for a string.
    package var elements: Int
    /// The size in bytes of the string, of each element or member, or of each value of a hash.
    package var elementBytes: Int
    package var seed: UInt64

    package init(_ kind: Kind, key: String, elements: Int = 1, elementBytes: Int, seed: UInt64 = 1) {
        self.kind = kind
        self.key = Array(key.utf8)
        self.elements = elements
        self.elementBytes = elementBytes
        self.seed = seed
    }

    /// Returns the element at an index: text for a string or a list, `<index>-` and text for a member, `field:<index>`
    /// for a field.
    ///
    /// `value` is set only for a hash, `score` only for a zset.
    package func element(at index: Int) -> (text: [UInt8], value: [UInt8], score: Double) {
        var generator = SplitMix64(seed: seed &* 0x9E37_79B9_7F4A_7C15 &+ UInt64(index))
        let text = RandomText.bytes(elementBytes, &generator)
        switch kind {
        case .string, .list: return (text, [], 0)
        case .set: return (Array("\(index)-".utf8) + text, [], 0)
        case .hash: return (Array("field:\(index)".utf8), text, 0)
        case .zset:
            return (Array("\(index)-".utf8) + text, [], Double.random(in: -1e6..<1e6, using: &generator))
        }
    }

    /// Returns the piece of a large string that begins at `offset`, a multiple of `stringPieceBytes`.
    package func stringPiece(at offset: Int) -> [UInt8] {
        var generator = SplitMix64(seed: seed &* 0x9E37_79B9_7F4A_7C15 &+ UInt64(offset))
        return RandomText.bytes(min(Self.stringPieceBytes, elementBytes - offset), &generator)
    }

    package static let stringPieceBytes = 64 << 10

    /// The RDB type of the value.
    var type: UInt8 {
        switch kind {
        case .string: 0
        case .list: 18
        case .set: 2
        case .hash: 4
        case .zset: 5
        }
    }
}

/// Writes a large value piece by piece.
struct LargeValueWriter {
    let value: LargeValue
    /// The stream id of the value's tagged chunks; `nil` if the value is sent without them.
    let streamID: UInt32?
    private let chunkBytes: Int
    private let compression: Compression
    /// The index of the next element, or the next offset in a string.
    private var position = 0
    private var hasBegun = false

    /// - Parameter streamID: ignored for strings, which are never split into tagged chunks.
    init(_ value: LargeValue, streamID: UInt32?, chunkBytes: Int, compression: Compression) {
        self.value = value
        self.streamID = value.kind == .string ? nil : streamID
        self.chunkBytes = max(1, chunkBytes)
        self.compression = compression
    }

    var hasEnded: Bool {
        hasBegun && position == (value.kind == .string ? value.elementBytes : value.elements)
    }

    /// Whether another entry or a journal blob may follow now.
    var isBetweenOpcodes: Bool { !hasBegun || hasEnded || streamID != nil }

    /// Returns the next piece, which ends after an element.
    mutating func next() -> [UInt8] {
        var payload = PieceWriter()
        var piece = PieceWriter()
        if !hasBegun {
            hasBegun = true
            piece.byte(0xFE)
            piece.length(value.database)
            payload.raw(
                EntryBuffer.head(
                    key: value.key, expiresAt: value.expiresAt, type: value.type, compression: compression))
            payload.length(value.kind == .string ? value.elementBytes : value.elements)
        }
        while payload.count < chunkBytes, !hasEnded { append(to: &payload) }
        guard let streamID else { return piece.bytes + payload.bytes }
        piece.byte(0xE0)
        piece.littleEndian(streamID)
        piece.littleEndian(UInt32(payload.count))
        piece.raw(payload.bytes)
        return BlobCompressor.blob(piece.bytes, compression)
    }

    private mutating func append(to payload: inout PieceWriter) {
        if value.kind == .string {
            let bytes = value.stringPiece(at: position)
            payload.raw(bytes)
            position += bytes.count
            return
        }
        let element = value.element(at: position)
        position += 1
        switch value.kind {
        case .string: break
        case .list:
            // Each element gets its own node.
            if element.text.count > 8192 {
                payload.length(1)
                payload.rawString(element.text)
            } else {
                var pack = ListpackWriter()
                pack.append(element.text)
                payload.length(2)
                payload.rawString(pack.finished())
            }
        case .set: payload.string(element.text)
        case .hash:
            payload.string(element.text)
            payload.string(element.value)
        case .zset:
            payload.string(element.text)
            payload.littleEndian(element.score.bitPattern)
        }
    }
}
