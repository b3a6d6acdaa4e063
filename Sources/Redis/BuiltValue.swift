import Wire

/// A complete value at the target, under a name of df2redis' own.
package struct BuiltValue: Equatable, Sendable {
    package let name: [UInt8]
    /// Whether some of its elements have TTLs that df2redis keeps.
    package let hasElementDeadlines: Bool
    package let lostPendingEntries: Int

    package init(name: [UInt8], hasElementDeadlines: Bool = false, lostPendingEntries: Int = 0) {
        (self.name, self.hasElementDeadlines, self.lostPendingEntries) = (name, hasElementDeadlines, lostPendingEntries)
    }

    /// Whether a key is the name of a value that is being built, or has been.
    package static func isName(_ key: [UInt8]) -> Bool {
        SlotTag.untagged(key).starts(with: ValueBuilder.Names.prefix.utf8)
    }
}

extension CommandBatch {
    /// Renames a built value to its key, and replaces what is there.
    ///
    /// - Parameters:
    ///   - deadline: the deadline of the key, as Unix time in milliseconds; `nil` for none.
    ///   - expiry: keeps the TTLs of the value's elements, if it has any.
    ///   - mayRepeat: whether the commands may run twice. The second RENAME finds nothing, and the key must stay as the
    ///     first run left it.
    package func publish(
        _ value: BuiltValue, as key: RawSpan, until deadline: Int64?, _ expiry: ElementExpiry?, mayRepeat: Bool
    ) {
        // RENAME itself would free the old value in one go.
        if !mayRepeat { append("UNLINK", key) }
        if value.hasElementDeadlines { expiry?.publish(value.name, as: Array(copying: key), into: self) }
        append("RENAME", value.name, key)
        if let deadline { append("PEXPIREAT", key, deadline) } else { append("PERSIST", key) }
    }
}
