/// The attributes of a key that precede it in the snapshot.
package struct EntryHead: Equatable, Sendable {
    package var database: UInt32
    /// Absolute Unix time in milliseconds; `nil` for a key that does not expire.
    package var expiryMilliseconds: Int64?
    package var type: RDBType
    /// Dragonfly's "never evict". Redis has no equivalent, and nothing is lost without it.
    package var isSticky: Bool

    package init(database: UInt32, expiryMilliseconds: Int64?, type: RDBType, isSticky: Bool = false) {
        self.database = database
        self.expiryMilliseconds = expiryMilliseconds
        self.type = type
        self.isSticky = isSticky
    }
}
