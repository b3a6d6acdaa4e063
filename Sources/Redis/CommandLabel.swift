extension CommandBatch {
    /// Name and key of a command, for messages. Values never appear in it.
    package struct Label: Equatable, Sendable, CustomStringConvertible {
        package var name: String
        package var key: String
        package var database: UInt32 = 0

        package init(name: String, key: String, database: UInt32 = 0) {
            (self.name, self.key, self.database) = (name, key, database)
        }

        package var description: String { key.isEmpty ? name : "\(name) \(key)" }
    }
}
