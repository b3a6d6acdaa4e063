import Wire

/// MOVEs of a full sync that may not have moved anything at the source: it journals those as well, and whether the place
/// was taken the target cannot tell before the snapshot has brought what stood there.
struct UncertainMoves {
    /// More are not noted, only reported: they bound the memory.
    private static let mostNoted = 100_000

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

    var isEmpty: Bool { origins.isEmpty }

    mutating func note(_ key: RawSpan, from origin: UInt32, to destination: UInt32) {
        guard origins.count < Self.mostNoted else { return }
        origins[Place(key, in: destination)] = origin
    }

    /// The snapshot has a value for `key` in `database`.
    ///
    /// - Returns: where a key that has been moved there has to go back to; `nil` when none was.
    mutating func take(_ key: RawSpan, in database: UInt32) -> UInt32? {
        origins.removeValue(forKey: Place(key, in: database))
    }
}
