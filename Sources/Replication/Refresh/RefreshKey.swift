/// A key whose value must be read at the source.
package struct RefreshKey: Hashable, Sendable {
    package var database: UInt32
    package var key: [UInt8]

    package init(database: UInt32, key: [UInt8]) { (self.database, self.key) = (database, key) }
}
