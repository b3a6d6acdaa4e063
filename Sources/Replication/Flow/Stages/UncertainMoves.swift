import Wire

/// MOVEs of a full sync that may not have moved anything at the source.
///
/// The source also journals a MOVE whose destination key existed. The target cannot know whether it did before the snapshot
/// has brought that key.
struct UncertainMoves {
    /// The maximum number of bytes that are noted. Moves beyond it are only reported.
    private static let mostBytes = 16 << 20
    /// The bytes that a key takes in addition to its name.
    private static let bytesPerKey = 100

    private struct Place: Hashable {
        var database: UInt32
        var key: [UInt8]

        init(_ key: RawSpan, in database: UInt32) {
            self.database = database
            self.key = Array(copying: key)
        }
    }

    /// The database that each key came from, by the place it would have moved to.
    private var origins: [Place: UInt32] = [:]
    private var bytes = 0

    var isEmpty: Bool { origins.isEmpty }

    mutating func note(_ key: RawSpan, from origin: UInt32, to destination: UInt32) {
        guard bytes + key.byteCount + Self.bytesPerKey <= Self.mostBytes else { return }
        if origins.updateValue(origin, forKey: Place(key, in: destination)) == nil {
            bytes += key.byteCount + Self.bytesPerKey
        }
    }

    /// Removes the note about `key` in `database`, because the snapshot has a value there.
    ///
    /// - Returns: the database to which a key that was moved there must return; `nil` if none was moved.
    mutating func take(_ key: RawSpan, in database: UInt32) -> UInt32? {
        guard let origin = origins.removeValue(forKey: Place(key, in: database)) else { return nil }
        bytes -= key.byteCount + Self.bytesPerKey
        return origin
    }
}
