package import Wire

/// Builds a value piece by piece under a name of df2redis' own, until it can take the name of its key
/// (`CommandBatch.publish`).
///
/// ```
/// df2redis:value:<task>:part     gets the pieces; expires if nobody continues with it
/// df2redis:value:<task>:whole    the name of the first one after all pieces are confirmed
/// ```
/// In a cluster both begin with the tag of the key's slot. A replica that takes a master's place may have lost a piece. Such
/// a value never becomes whole: the loss shows in the number of elements that the server counts.
///
/// Each request waits for its reply, so at most one piece is on its way to the target. One value is built at a time.
package actor ValueBuilder {
    /// The names under which a value is being built. They must be removed if the value is not completed.
    package struct Names: Equatable, Sendable {
        package let database: UInt32
        /// The slot of the key; `nil` if the target is not a cluster.
        private let slot: KeySlot?
        fileprivate let part: [UInt8]
        fileprivate let whole: [UInt8]

        static let prefix = "df2redis:value:"

        fileprivate init(task: String, database: UInt32, slot: KeySlot?) {
            (self.database, self.slot) = (database, slot)
            func name(_ state: String) -> [UInt8] {
                let name = "\(Self.prefix)\(task):\(state)"
                return slot.map { SlotTag.key(name, in: $0) } ?? name.bytes
            }
            (part, whole) = (name("part"), name("whole"))
        }

        /// A text to be stored: `<database>` or `<database> <slot>`.
        package var text: String { slot.map { "\(database) \($0.number)" } ?? "\(database)" }

        package init?(_ text: String, task: String) {
            let words = text.split(separator: " ")
            guard let database = words.first.flatMap({ UInt32($0) }), words.count < 3 else { return nil }
            let number = words.count > 1 ? UInt16(words[1]) : nil
            guard words.count == 1 || (number.map { Int($0) < KeySlot.count } ?? false) else { return nil }
            self.init(task: task, database: database, slot: number.map { KeySlot($0) })
        }
    }

    /// The error for a value of which the target has lost a piece.
    package struct Torn: Error, Sendable, CustomStringConvertible {
        package let description = "the target has lost a piece of a value"
    }

    /// Which TTLs of elements are kept, and where.
    package struct MemberTTLs: Sendable {
        package var expiry: ElementExpiry?
        package var hasNativeFields: Bool

        package init(_ expiry: ElementExpiry?, hasNativeFields: Bool) {
            (self.expiry, self.hasNativeFields) = (expiry, hasNativeFields)
        }
    }

    /// The lifetime of a value that has been built and not published.
    private static let lifeMilliseconds: Int64 = 3_600_000
    /// The maximum number of elements in one command, and of commands in one pipeline.
    private static let (mostElements, mostCommands) = (512, 512)

    private let task: String
    private let isInCluster: Bool
    private let servers: TargetServers
    private let clock: @Sendable () -> Int64
    private var names: Names?
    private var key: [UInt8] = []
    private var memberTTLs = MemberTTLs(nil, hasNativeFields: false)
    private var hasBegun = false
    private var hasElementDeadlines = false
    /// The number of elements, or bytes, that the target has.
    private var length: Int64 = 0
    private var entries = 0
    /// The number of pending entries that the target does not create again.
    package private(set) var lostPendingEntries = 0

    /// - Parameter clock: returns the Unix time in milliseconds.
    package init(connector: TargetConnector, task: String, clock: @escaping @Sendable () -> Int64) {
        self.task = task
        self.clock = clock
        isInCluster = connector.cluster != nil
        servers = TargetServers(connector, role: "values", replacement: .any)
    }

    // MARK: Building

    /// - Returns: the names, which must be stored until the value is published or removed.
    package func names(for key: [UInt8], in database: UInt32) -> Names {
        Names(task: task, database: database, slot: isInCluster ? KeySlot(of: key) : nil)
    }

    /// Begins a value.
    ///
    /// - Throws: `TargetError`.
    package func begin(_ names: Names, for key: [UInt8], _ memberTTLs: MemberTTLs) async throws(TargetError) {
        (self.names, self.key, self.memberTTLs) = (names, key, memberTTLs)
        (hasBegun, hasElementDeadlines, length, entries, lostPendingEntries) = (false, false, 0, 0, 0)
        try await remove(names)
    }

    /// - Throws: `TargetError`, `Torn`.
    package func append(_ piece: ValuePiece) async throws {
        guard let names else { preconditionFailure("a value is begun before it gets a piece") }
        let commands = commands(for: piece, names.part)
        for start in stride(from: 0, to: commands.count, by: Self.mostCommands) {
            let some = Array(commands[start..<min(start + Self.mostCommands, commands.count)])
            let life = words("PEXPIREAT", names.part, clock() + Self.lifeMilliseconds)
            // The value expires by itself if it is abandoned, and the reply shows if it has expired.
            let all = hasBegun ? [life] + some : some + [life]
            let replies: [RESPValue]
            do throws(TargetError) { replies = try await send(all, about: names) } catch {
                // The entry exists already because the request was sent again after a failover.
                if error.message.contains("equal or smaller") { throw Torn() }
                throw error
            }
            let isThere = hasBegun ? replies[0].int : replies[replies.count - 1].int
            guard isThere == 1 else { throw Torn() }
            try check(hasBegun ? Array(replies.dropFirst()) : replies.dropLast(), of: piece)
            hasBegun = true
        }
    }

    /// Completes the value.
    ///
    /// - Throws: `TargetError`; `Torn` if the value has no piece.
    package func finish() async throws -> BuiltValue {
        guard let names else { preconditionFailure("a value is begun before it ends") }
        guard hasBegun else { throw Torn() }
        var commands = [words("RENAME", names.part, names.whole)]
        if hasElementDeadlines, let expiry = memberTTLs.expiry {
            let shadows = [names.part, names.whole].map { expiry.shadow(of: $0) }
            commands.append(words("RENAME", shadows[0], shadows[1]))
        }
        _ = try await send(commands, about: names)
        return BuiltValue(
            name: names.whole, hasElementDeadlines: hasElementDeadlines, lostPendingEntries: lostPendingEntries)
    }

    /// Removes what is left of a value. A published value has another name by then and stays.
    ///
    /// - Throws: `TargetError`.
    package func remove(_ names: Names) async throws(TargetError) {
        let expiry = ElementExpiry(task: task, flow: 0, hasNativeFields: true, isInCluster: isInCluster)
        let keys = [names.part, names.whole]
        _ = try await send([words("UNLINK") + keys + keys.map { expiry.shadow(of: $0) }], about: names)
    }

    /// - Throws: `TargetError`, also for an error reply.
    private func send(_ commands: [[[UInt8]]], about names: Names) async throws(TargetError) -> [RESPValue] {
        try await servers.at(names.part) { (server) throws(TargetError) in
            try await server.sequence { (sequence) throws(TargetError) in
                try await sequence.execute("SELECT", "\(names.database)")
                return try await sequence.executeAll(commands)
            }
        }
    }

    package func close() async { await servers.close() }

    // MARK: Commands

    private func commands(for piece: ValuePiece, _ name: [UInt8]) -> [[[UInt8]]] {
        switch piece {
        case .string(let bytes): [words("APPEND", name, bytes)]
        case .list(let elements): chunks(elements, width: 1).map { words("RPUSH", name) + $0 }
        case .set(let elements):
            chunks(elements.map(\.name), width: 1).map { words("SADD", name) + $0 }
                + deadlines(elements, name, isHash: false)
        case .hash(let elements):
            chunks(elements.flatMap { [$0.name, $0.value] }, width: 2).map { words("HSET", name) + $0 }
                + deadlines(elements, name, isHash: true)
        case .zset(let members):
            chunks(members.flatMap { [$0.score, $0.name] }, width: 2).map { words("ZADD", name) + $0 }
        case .entries(let entries): entries.map { words("XADD", name, $0.id) + $0.fields }
        case .position(let position):
            (entries > 0
                ? []
                // A stream without entries is created by creating a group, which is destroyed again. This uses up no ID.
                : [
                    words("XGROUP", "CREATE", name, "df2redis", "0", "MKSTREAM"),
                    words("XGROUP", "DESTROY", name, "df2redis"),
                ]) + [
                    words(
                        "XSETID", name, position.lastID, "ENTRIESADDED", position.entriesAdded, "MAXDELETEDID",
                        position.maxDeletedID)
                ]
        case .group(let group, let lastID, let read):
            [words("XGROUP", "CREATE", name, group, lastID) + (read.map { words("ENTRIESREAD", $0) } ?? [])]
        case .consumer(let group, let consumer): [words("XGROUP", "CREATECONSUMER", name, group, consumer)]
        case .pending(let group, let pending):
            pending.map { entry in
                words(
                    "XCLAIM", name, group, entry.consumer, "0", entry.id, "TIME", entry.deliveredAt, "RETRYCOUNT",
                    entry.deliveries, "FORCE", "JUSTID")
            }
        }
    }

    private func chunks(_ words: [[UInt8]], width: Int) -> [[[UInt8]]] {
        let most = Self.mostElements * width
        return stride(from: 0, to: words.count, by: most).map { Array(words[$0..<min($0 + most, words.count)]) }
    }

    /// The commands that set TTLs of elements, in the same way as `ValueWriter`.
    private func deadlines(_ elements: [ValuePiece.Element], _ name: [UInt8], isHash: Bool) -> [[[UInt8]]] {
        let timed = elements.compactMap { element in element.deadline.map { (element.name, $0) } }
        if timed.isEmpty { return [] }
        let native =
            isHash && memberTTLs.hasNativeFields
            ? timed.map { words("HPEXPIREAT", name, $0.1, "FIELDS", "1", $0.0) } : []
        guard let expiry = memberTTLs.expiry, expiry.keeps(isField: isHash) else { return native }
        hasElementDeadlines = true
        let pairs = timed.flatMap { ["\($0.1)".bytes, $0.0] }
        return native + chunks(pairs, width: 2).map { words("ZADD", expiry.shadow(of: name)) + $0 }
    }

    // MARK: Replies

    private func check(_ replies: [RESPValue], of piece: ValuePiece) throws(Torn) {
        switch piece {
        case .string(let bytes):
            length += Int64(bytes.count)
            if replies.last?.int != length { throw Torn() }
        case .list(let elements):
            length += Int64(elements.count)
            if replies.last?.int != length { throw Torn() }
        case .entries(let entries): self.entries += entries.count
        case .pending: lostPendingEntries += replies.count { $0.array?.isEmpty == true }
        case .set, .hash, .zset, .position, .group, .consumer: break
        }
    }
}

/// The arguments of a command, made of bytes, texts and numbers.
private func words(_ parts: any RequestWord...) -> [[UInt8]] { parts.map(\.bytes) }
