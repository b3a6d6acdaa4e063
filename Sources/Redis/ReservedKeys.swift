package import Wire

/// Keys of the target that are df2redis' own: checkpoints, and values that are being built.
///
/// Their names are reserved: keys of the source with such a name are not replicated, or a client of the source could write
/// over the position that says what has been applied.
package struct ReservedKeys: Sendable {
    /// What the names begin with.
    package static let prefix: StaticString = "df2redis:"

    /// The checkpoint, which may have another name, and the owner's record.
    private let checkpoint: [UInt8]
    private let owner: [UInt8]
    private let isInCluster: Bool

    /// - Parameter isInCluster: names with the tag of a slot before them are reserved too.
    package init(checkpoint: String, isInCluster: Bool = false) {
        self.checkpoint = Array(checkpoint.utf8)
        owner = Array(OwnershipRecord.key(checkpoint: checkpoint, isInCluster: isInCluster).utf8)
        self.isInCluster = isInCluster
    }

    package func contains(_ key: RawSpan) -> Bool {
        key.startsWith(Self.prefix) || key.isEqual(to: checkpoint.span.bytes) || key.isEqual(to: owner.span.bytes)
            || (isInCluster && Self.isTagged(key))
    }

    /// `{<tag>}df2redis:...`
    private static func isTagged(_ key: RawSpan) -> Bool {
        guard key.byteCount > 0, key[0] == UInt8(ascii: "{") else { return false }
        for place in 1..<min(key.byteCount, SlotTag.maxBytes + 2) where key[place] == UInt8(ascii: "}") {
            return key.extracting((place + 1)...).startsWith(prefix)
        }
        return false
    }

    package func contains(_ key: [UInt8]) -> Bool { contains(key.span.bytes) }

    /// A name of df2redis' own in any target, a cluster or none; the checkpoint's is one unless it was given another.
    package static func isOwn(_ key: [UInt8]) -> Bool {
        SlotTag.untagged(key).starts(with: TargetControl.ownPrefix)
    }

    /// Whether any argument of the command is such a name: nearly never, and quickly found out.
    package func appear(in command: borrowing JournalCommand) -> Bool {
        var arguments = command.arguments
        while let argument = arguments.next() {
            if contains(argument) { return true }
        }
        return false
    }
}
