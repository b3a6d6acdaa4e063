/// Other tasks that fill the target, by the keys of their checkpoints.
package struct OtherTasks: Equatable, Sendable, CustomStringConvertible {
    package var databases: [String: Set<UInt32>]
    package var sources: [String: FollowedSource] = [:]

    package init(databases: [String: Set<UInt32>]) { self.databases = databases }

    package var isEmpty: Bool { databases.isEmpty }

    /// The tasks that fill a database. A task whose first start failed is listed without one.
    package var filling: OtherTasks { OtherTasks(databases: databases.filter { !$0.value.isEmpty }) }

    /// Whether another task fills `database`.
    package func fill(_ database: UInt32) -> Bool { databases.values.contains { $0.contains(database) } }

    package var description: String {
        databases.sorted { $0.key < $1.key }.map { key, databases in
            "\(key) (databases \(databases.sorted().map(String.init).joined(separator: ", ")))"
        }.joined(separator: ", ")
    }
}
