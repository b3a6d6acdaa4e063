package import Wire

/// Differences between releases of Dragonfly in commands that look alike in the journal.
///
/// A record says what was requested, but the effect at the source depends on the release that ran it. Each difference that a
/// target has to imitate is a `Trait`, and `borders` says which releases have it. A version that is unknown, or newer than
/// all that were examined, counts as the newest one.
package struct SourceBehaviour: Equatable, Sendable {
    package enum Trait: Int, CaseIterable, Sendable {
        /// `RENAME a b` in one shard: `b` keeps its own TTL if both keys have one.
        case renameKeepsDestinationTTL
        /// XREADGROUP leaves no record: groups and pending entries go stale.
        case readsGroupsWithoutRecord
        /// A GETEX without options leaves `PEXPIREAT k <now>`, and the key lives on.
        case plainGETEXLeavesPEXPIREAT
        /// SADDEX leaves an existing member without a TTL if it has none.
        case addKeepsPermanentMembers
        /// S*STORE, Z*STORE and GEORADIUS ... STORE keep their destination's TTL and do not journal that.
        case storesKeepTTL
        /// Z*STORE and GEORADIUS ... STORE journal scores rounded to 6 digits.
        case storesRoundedScores
        /// DUMP and the snapshot lack the TTLs of a set's or a hash's elements if each was given to an element that was there.
        case dumpsLackElementTTLs
        /// ZADD ignores GT and LT in a sorted set that is encoded as a skip list.
        case ignoresComparisons
        /// LINSERT, and LSET of a large value, may put other elements of the list in another place.
        case misplacesListElements
    }

    /// The releases that have a trait.
    package struct Border: Sendable {
        package var trait: Trait
        /// The first release that has the trait; `nil` if all examined releases have it up to `until`.
        package var since: SourceVersion?
        /// The first release that no longer has the trait; `nil` if the newest release has it.
        package var until: SourceVersion?
        /// How the border was found.
        package var evidence: String
    }

    /// The borders were found in Dragonfly's history by `git log -S` on the responsible line, and by `git tag --contains` of
    /// the commit that changed it.
    package static let borders: [Border] = [
        Border(
            trait: .renameKeepsDestinationTTL, until: SourceVersion(1, 38, 0),
            evidence: "b573aba6a: OpRen calls AddExpire instead of UpdateExpire; run on v1.36.0, seen on v1.40.1"),
        Border(
            trait: .readsGroupsWithoutRecord, until: SourceVersion(1, 37, 0),
            evidence: "f0d13f115: XREADGROUP becomes JOURNALED; recorded on v1.36.0 and v1.40.1"),
        Border(
            trait: .plainGETEXLeavesPEXPIREAT, until: SourceVersion(1, 40, 0),
            evidence: "89402a561: GETEX journals only a defined expiry; run on v1.36.0, read at v1.40.1"),
        Border(
            trait: .addKeepsPermanentMembers, until: SourceVersion(1, 38, 0),
            evidence: "c3a35e235: StringSet::AddBatch replaces the member; run on v1.36.0, read at v1.40.1"),
        Border(
            trait: .storesKeepTTL, until: SourceVersion(1, 37, 0),
            evidence: "2174482ed: SetFamily's and ZSetFamily's OpAdd remove the expiry; run on v1.36.0 and v1.40.1"),
        Border(
            trait: .storesRoundedScores, until: SourceVersion(1, 41, 0),
            evidence: "882c43f0a, on main after v1.40.1: ZSetFamily::OpAdd uses FormatDouble; read only"),
        Border(
            trait: .dumpsLackElementTTLs, until: SourceVersion(1, 39, 0),
            evidence: "2f0d35c9d: SetExpiryTime marks the DenseSet as one with expiries; run on v1.36.0 and v1.40.1"),
        Border(
            trait: .ignoresComparisons, until: SourceVersion(1, 41, 0),
            evidence: "2cfa76c64, on main after v1.40.1: SortedMap::AddElem compares; run on v1.36.0 and v1.40.1"),
        Border(
            trait: .misplacesListElements, until: SourceVersion(1, 40, 0),
            evidence:
                "9c641ac38 (v1.38.0), a5ff24dd2 (v1.40.0): QList does not take the tail for the head's predecessor; run on v1.36.0 and v1.40.1"
        ),
    ]

    /// The last release before version 5 of the protocol.
    private static let lastBeforeVersion5 = SourceVersion(1, 36, 0)

    private var traits: UInt32 = 0

    /// - Parameter version: `nil` if it is newer than all releases that were examined.
    package init(version: SourceVersion?) {
        for border in Self.borders where border.covers(version) { traits |= Self.bit(border.trait) }
    }

    /// - Parameter protocolVersion: the version that the source announced. It decides if the release is not known.
    package init(version: SourceVersion?, protocolVersion: Int?) {
        self.init(version: version ?? ((protocolVersion ?? 0) >= 5 ? nil : Self.lastBeforeVersion5))
    }

    package func has(_ trait: Trait) -> Bool { traits & Self.bit(trait) != 0 }

    private static func bit(_ trait: Trait) -> UInt32 { 1 << UInt32(trait.rawValue) }
}

extension SourceBehaviour.Border {
    /// - Parameter version: `nil` if it is newer than all releases that were examined.
    fileprivate func covers(_ version: SourceVersion?) -> Bool {
        guard let version else { return until == nil }
        return version >= since ?? version && until.map { version < $0 } ?? true
    }
}
