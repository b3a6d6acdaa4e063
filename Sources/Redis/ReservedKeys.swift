package import Wire

/// Keys of the target that are df2redis' own: checkpoints, and values that are being built.
///
/// Their names are reserved: keys of the source with such a name are not replicated, or a client of the source could write
/// over the position that says what has been applied.
package struct ReservedKeys: Sendable {
    /// What the names begin with, after a slot's tag in a cluster.
    package static let prefix: StaticString = "df2redis:"

    /// The checkpoint, which may have another name, and the owner's record.
    private let checkpoint: [UInt8]
    private let owner: [UInt8]

    package init(checkpoint: String) {
        self.checkpoint = Array(checkpoint.utf8)
        owner = Array((checkpoint + OwnershipRecord.suffix).utf8)
    }

    package func contains(_ key: RawSpan) -> Bool {
        key.startsWith(Self.prefix) || key.isEqual(to: checkpoint.span.bytes) || key.isEqual(to: owner.span.bytes)
            || isTagged(key)
    }

    /// `{<tag>}df2redis:...`, as in a cluster.
    private func isTagged(_ key: RawSpan) -> Bool {
        guard key.byteCount > 3, key[0] == UInt8(ascii: "{") else { return false }
        for end in 2...min(SlotTag.maxBytes + 1, key.byteCount - 1) where key[end] == UInt8(ascii: "}") {
            return key.extracting((end + 1)..<key.byteCount).startsWith(Self.prefix)
        }
        return false
    }

    package func contains(_ key: [UInt8]) -> Bool { contains(key.span.bytes) }

    /// Whether any argument of the command is such a name: nearly never, and quickly told.
    package func appear(in command: borrowing JournalCommand) -> Bool {
        var arguments = command.arguments
        while let argument = arguments.next() {
            if contains(argument) { return true }
        }
        return false
    }
}
