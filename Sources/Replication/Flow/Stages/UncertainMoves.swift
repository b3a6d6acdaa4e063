import Wire

/// MOVEs of a full sync that may not have moved anything at the source: it journals those as well, and whether the place
/// was taken the target does not know before the snapshot has brought what was there.
struct UncertainMoves {
    /// More bytes of keys are not noted, the moves only reported.
    private static let mostBytes = 16 << 20
    /// What a key takes besides its bytes.
    private static let bytesPerKey = 100

    private struct Place: Hashable {
        var database: UInt32
        var key: [UInt8]

        init(_ key: RawSpan, in database: UInt32) {
            self.database = database
            self.key = key.withUnsafeBytes { Array($0) }
        }
    }

    /// The databases that keys came from, by where they would have moved to.
    private var origins: [Place: UInt32] = [:]
    private var bytes = 0

    var isEmpty: Bool { origins.isEmpty }

    mutating func note(_ key: RawSpan, from origin: UInt32, to destination: UInt32) {
        guard bytes + key.byteCount + Self.bytesPerKey <= Self.mostBytes else { return }
        if origins.updateValue(origin, forKey: Place(key, in: destination)) == nil {
            bytes += key.byteCount + Self.bytesPerKey
        }
    }

    /// The snapshot has a value for `key` in `database`.
    ///
    /// - Returns: where a key that has been moved there has to go back to; `nil` when none was.
    mutating func take(_ key: RawSpan, in database: UInt32) -> UInt32? {
        guard let origin = origins.removeValue(forKey: Place(key, in: database)) else { return nil }
        bytes -= key.byteCount + Self.bytesPerKey
        return origin
    }
}
