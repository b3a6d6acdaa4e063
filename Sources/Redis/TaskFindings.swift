package import Wire

/// What a target holds after this process has written the task's record there.
package struct TaskFindings: Sendable {
    /// The hash of the task's checkpoint.
    package var checkpoint: [String: String]
    package var others: OtherTasks
    /// The databases that hold keys.
    package var databases: [UInt32]
    /// Whether database 0 has a `DatabaseMark`.
    package var hasMarkInFirst = false

    /// - Parameter reply: the reply to HGETALL.
    package static func fields(_ reply: RESPValue) -> [String: String] {
        var fields: [String: String] = [:]
        for (field, value) in reply.pairs {
            if let field = field.text, let value = value.text { fields[field] = value }
        }
        return fields
    }
}
