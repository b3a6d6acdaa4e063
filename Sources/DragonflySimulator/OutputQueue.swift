/// The output queue of a socket. It keeps large pieces whole and shares their memory with the data set that made them.
struct OutputQueue {
    private var pieces: [[UInt8]] = []
    private var first = 0
    /// Bytes of the first piece that were taken.
    private var offset = 0
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    private static let joinedBytes = 16 << 10

    mutating func append(_ piece: [UInt8]) {
        if piece.isEmpty { return }
        count += piece.count
        // Small pieces are joined, so that a run of journal records is one write.
        if piece.count < Self.joinedBytes, pieces.count > first, pieces[pieces.count - 1].count < Self.joinedBytes {
            pieces[pieces.count - 1] += piece
        } else {
            pieces.append(piece)
        }
    }

    /// Passes at most `limit` bytes from the front to `body`, which returns how many it took.
    mutating func withFirst(limit: Int, _ body: (UnsafeRawBufferPointer) -> Int) {
        let taken = pieces[first].withUnsafeBytes { bytes in
            body(UnsafeRawBufferPointer(rebasing: bytes[offset..<min(bytes.count, offset + limit)]))
        }
        offset += taken
        count -= taken
        if offset == pieces[first].count {
            pieces[first] = []
            first += 1
            offset = 0
            if first == pieces.count || first >= 1024 {
                pieces.removeFirst(first)
                first = 0
            }
        }
    }

    mutating func removeAll() { self = OutputQueue() }
}
