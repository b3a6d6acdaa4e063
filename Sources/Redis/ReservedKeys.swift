package import Wire

/// Keys of the target that are df2redis' own: checkpoints, and values that are being built.
///
/// Their names are reserved: keys of the source with such a name are not replicated. Otherwise a client of the source could
/// overwrite the position that says what has been applied.
package struct ReservedKeys: Sendable {
    /// The prefix of the names.
    package static let prefix: StaticString = "df2redis:"

    /// The checkpoint's key, which may have another prefix, and the key of the owner's record.
    private let checkpoint: [UInt8]
    private let owner: [UInt8]
    private let isInCluster: Bool

    /// - Parameter isInCluster: whether names with the tag of a slot in front of them are reserved, too.
    package init(checkpoint: String, isInCluster: Bool = false) {
        self.checkpoint = checkpoint.bytes
        owner = OwnershipRecord.key(checkpoint: checkpoint, isInCluster: isInCluster).bytes
        self.isInCluster = isInCluster
    }

    package func contains(_ key: RawSpan) -> Bool {
        key.startsWith(Self.prefix) || key.isEqual(to: checkpoint.span.bytes) || key.isEqual(to: owner.span.bytes)
            || (isInCluster && Self.isTagged(key))
    }

    /// Whether the key has the form `{<tag>}df2redis:...`.
    private static func isTagged(_ key: RawSpan) -> Bool {
        guard key.byteCount > 0, key[0] == UInt8(ascii: "{") else { return false }
        for place in 1..<min(key.byteCount, SlotTag.maxBytes + 2) where key[place] == UInt8(ascii: "}") {
            return key.extracting((place + 1)...).startsWith(prefix)
        }
        return false
    }

    package func contains(_ key: [UInt8]) -> Bool { contains(key.span.bytes) }

    /// Whether a key is one of df2redis' own, no matter whether the target is a cluster. This includes the checkpoint unless
    /// it was given another name.
    package static func isOwn(_ key: [UInt8]) -> Bool {
        SlotTag.untagged(key).starts(with: TargetControl.ownPrefix)
    }

    /// Whether any argument of the command is a reserved name. This is nearly never the case and checked quickly.
    package func appear(in command: borrowing JournalCommand) -> Bool {
        var arguments = command.arguments
        while let argument = arguments.next() {
            if contains(argument) { return true }
        }
        return false
    }
}
