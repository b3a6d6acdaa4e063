package import Wire

/// Writes one value as commands of bounded size: a value too large for one RESTORE, or of a type that has none.
///
/// The key is replaced first (`UNLINK`), then filled piece by piece. Where an existing key must not be touched
/// (`isGuarded`), the pieces go to a key of our own, which takes the name at the end (`RENAMENX`).
package final class ValueWriter {
    /// Elements are collected up to so many bytes or arguments, then sent as one command.
    private static let pieceBytes = 64 << 10
    private static let pieceArguments = 512

    package let head: EntryHead
    private let key: [UInt8]
    private let writeKey: [UInt8]
    private let isGuarded: Bool
    private let profile: TargetProfile
    private let now: Int64
    private let elementExpiry: ElementExpiry?
    private let deadlines: (any TargetDeadlines)?
    /// A TTL of a field or a member could not be kept.
    package private(set) var lostMemberExpiries = 0
    /// Pending entries of a consumer group whose consumer or entry is missing.
    package private(set) var lostPendingEntries = 0

    /// Why the value, though its encoding was sound, is malformed: nothing of it may count as replicated.
    package var failure: WireError? { stream?.failure }

    /// Consumer groups of the stream.
    package private(set) var groupCount = 0

    private var staged = ByteBuffer()
    private var stagedArguments = 0
    private var expiring = ByteBuffer()
    private var expiringCommands = 0
    /// Pairs of deadline and element for the key's shadow.
    private var elementDeadlines = ByteBuffer()
    private var deadlineCount = 0
    private var earliestDeadline = Int64.max
    private var hasShadow = false
    /// The first half of a pair whose second half has not come: a field, a zset's member.
    private var held = ByteBuffer()
    private var hasHeld = false
    /// The element before an expiry, to be taken back or given a TTL.
    private var lastElement = ByteBuffer()
    private var stagedBeforeElement = (bytes: 0, arguments: 0)
    private var elementBytesLeft = 0
    private var isLongElementHeld = false
    private var hasBegun = false
    private var stream: StreamWriter?

    /// - Parameters:
    ///   - now: Unix time in milliseconds; members that have expired by then are left out.
    ///   - elementExpiry: keeps the TTLs of elements that the target cannot; `nil`: they are lost.
    package init(
        head: EntryHead, key: RawSpan, profile: TargetProfile, now: Int64, guardKey: [UInt8]? = nil,
        elementExpiry: ElementExpiry? = nil, deadlines: (any TargetDeadlines)? = nil
    ) {
        self.head = head
        self.key = key.withUnsafeBytes { Array($0) }
        keyDescription = printableKey(key)
        isGuarded = guardKey != nil
        writeKey = guardKey ?? self.key
        self.profile = profile
        self.now = now
        self.elementExpiry = elementExpiry
        self.deadlines = deadlines
    }

    package let keyDescription: String

    /// The key of our own under which the value is being built, if there is one.
    package var partialKey: [UInt8]? { isGuarded && hasBegun ? writeKey : nil }

    /// Ends the value in the middle: what has been written of it, and what it was to replace, is removed.
    package func removeWritten(from batch: CommandBatch) {
        if !isGuarded || hasBegun { appendKeyCommand("UNLINK", key: writeKey, into: batch) }
    }

    /// - Returns: `true` at the end of the value.
    package func take(_ event: borrowing ValueEvent, into batch: CommandBatch) -> Bool {
        begin(batch)
        switch event {
        case .element(let bytes): element(bytes, into: batch)
        case .integerElement(let value):
            var text = ByteBuffer()
            text.append(decimal: value)
            element(text.bytes, into: batch)
        case .elementBegan(let count): beginLongElement(count, into: batch)
        case .elementBytes(let bytes): continueLongElement(bytes, into: batch)
        case .score(let score): self.score(score, into: batch)
        case .expiry(let time): expiry(time, into: batch)
        case .streamNode, .streamInfo, .streamGroup, .streamPending, .streamConsumer, .streamConsumerPending:
            if stream == nil { stream = StreamWriter(key: writeKey) }
            stream?.take(event, into: batch)
            lostPendingEntries = stream?.lostPendingEntries ?? 0
            groupCount = stream?.groupCount ?? 0
        case .ended:
            end(batch)
            return true
        }
        return false
    }

    private func begin(_ batch: CommandBatch) {
        guard !hasBegun else { return }
        hasBegun = true
        if head.type != .string || isGuarded { appendKeyCommand("UNLINK", key: writeKey, into: batch) }
    }

    private func appendKeyCommand(_ name: StaticString, key: [UInt8], into batch: CommandBatch) {
        batch.command(2)
        batch.bytes.appendBulk(name)
        batch.bytes.appendBulk(key)
    }

    // MARK: Elements

    private var commandName: StaticString {
        switch head.type {
        case .hash, .hashZiplist, .hashListpack, .hashWithExpiry: "HSET"
        case .set, .setIntset, .setListpack, .setWithExpiry: "SADD"
        case .zset, .zsetText, .zsetZiplist, .zsetListpack: "ZADD"
        case .json: "JSON.SET"
        default: "RPUSH"
        }
    }

    private var isHash: Bool {
        switch head.type {
        case .hash, .hashZiplist, .hashListpack, .hashWithExpiry: true
        default: false
        }
    }

    private var isSortedSet: Bool {
        switch head.type {
        case .zset, .zsetText, .zsetZiplist, .zsetListpack: true
        default: false
        }
    }

    private func element(_ bytes: RawSpan, into batch: CommandBatch) {
        switch head.type {
        case .string:
            batch.command(3)
            batch.bytes.appendBulk("SET")
            batch.bytes.appendBulk(writeKey)
            batch.bytes.appendBulk(bytes)
        case .json:
            batch.command(4)
            batch.bytes.appendBulk("JSON.SET")
            batch.bytes.appendBulk(writeKey)
            batch.bytes.appendBulk("$")
            batch.bytes.appendBulk(bytes)
        default:
            if (isHash || isSortedSet) && !hasHeld {
                hold(bytes)
                return
            }
            if !hasHeld {
                makeRoom(bytes.byteCount, into: batch)
            } else {
                makeRoom(bytes.byteCount + held.count, into: batch)
            }
            stagedBeforeElement = (staged.count, stagedArguments)
            if hasHeld { stageHeld() } else { remember(bytes) }
            staged.appendBulk(bytes)
            stagedArguments += 1
        }
    }

    private func hold(_ bytes: RawSpan) {
        held.removeAll()
        held.append(bytes)
        hasHeld = true
        remember(bytes)
    }

    private func remember(_ bytes: RawSpan) {
        guard head.type == .hashWithExpiry || head.type == .setWithExpiry else { return }
        lastElement.removeAll()
        lastElement.append(bytes)
    }

    private func stageHeld() {
        staged.appendBulk(contentsOf: held)
        stagedArguments += 1
        hasHeld = false
    }

    private func makeRoom(_ byteCount: Int, into batch: CommandBatch) {
        if staged.count + byteCount > Self.pieceBytes || stagedArguments >= Self.pieceArguments { flush(batch) }
    }

    private func score(_ score: Double, into batch: CommandBatch) {
        guard hasHeld else { return }
        makeRoom(held.count + 32, into: batch)
        staged.appendBulk(score: score)
        stagedArguments += 1
        stageHeld()
    }

    private func expiry(_ time: Int64?, into batch: CommandBatch) {
        guard let time else { return }
        if time <= now {
            // Already expired: as if it had never been there.
            if stagedArguments >= stagedBeforeElement.arguments, staged.count >= stagedBeforeElement.bytes,
                stagedArguments > 0
            {
                staged.truncate(to: stagedBeforeElement.bytes)
                stagedArguments = stagedBeforeElement.arguments
            } else {
                batch.command(3)
                batch.bytes.appendBulk(head.type == .hashWithExpiry ? "HDEL" : "SREM")
                batch.bytes.appendBulk(writeKey)
                batch.bytes.appendBulk(contentsOf: lastElement)
            }
            return
        }
        guard head.type == .hashWithExpiry, profile.hasFieldExpiry else {
            guard elementExpiry != nil else {
                lostMemberExpiries += 1
                return
            }
            elementDeadlines.appendBulk(decimal: time)
            elementDeadlines.appendBulk(contentsOf: lastElement)
            deadlineCount += 1
            earliestDeadline = min(earliestDeadline, time)
            return
        }
        expiring.appendCommandHead(6)
        expiring.appendBulk("HPEXPIREAT")
        expiring.appendBulk(writeKey)
        expiring.appendBulk(decimal: time)
        expiring.appendBulk("FIELDS")
        expiring.appendBulk("1")
        expiring.appendBulk(contentsOf: lastElement)
        expiringCommands += 1
    }

    /// Sends what is staged as one command, and the TTLs of its fields behind it.
    private func flush(_ batch: CommandBatch) {
        if stagedArguments > 0 {
            batch.command(2 + stagedArguments)
            batch.bytes.appendBulk(commandName)
            batch.bytes.appendBulk(writeKey)
            batch.bytes.append(contentsOf: staged)
            staged.removeAll()
            stagedArguments = 0
        }
        if expiringCommands > 0 {
            batch.appendCommands(expiring, count: expiringCommands)
            expiring.removeAll()
            expiringCommands = 0
        }
        if deadlineCount > 0 { flushDeadlines(batch) }
        stagedBeforeElement = (0, 0)
    }

    private func flushDeadlines(_ batch: CommandBatch) {
        guard let elementExpiry else { return }
        batch.command(2 + 2 * deadlineCount)
        batch.bytes.appendBulk("ZADD")
        batch.bytes.appendBulk(elementExpiry.shadow(of: writeKey))
        batch.bytes.append(contentsOf: elementDeadlines)
        batch.command(5)
        batch.bytes.appendBulk("ZADD")
        batch.bytes.appendBulk(elementExpiry.due(of: writeKey))
        batch.bytes.appendBulk("LT")
        batch.bytes.appendBulk(decimal: earliestDeadline)
        batch.bytes.appendBulk(writeKey)
        elementDeadlines.removeAll()
        deadlineCount = 0
        hasShadow = true
    }

    // MARK: Elements of any size

    private func beginLongElement(_ byteCount: Int, into batch: CommandBatch) {
        elementBytesLeft = byteCount
        if isSortedSet || head.type == .json || head.type == .setWithExpiry {
            // ZADD wants the score first, JSON.SET one argument whole, a member's TTL the member again: these wait until
            // they are complete.
            isLongElementHeld = true
            held.removeAll()
            return
        }
        let isField = isHash && !hasHeld
        if isField {
            // The field is an argument in front of a value of unknown size: it waits for it.
            isLongElementHeld = true
            held.removeAll()
            return
        }
        flush(batch)
        switch head.type {
        case .string:
            batch.command(3)
            batch.beginLongCommand(label: "SET \(keyDescription)", argumentBytes: byteCount)
            batch.bytes.appendBulk("SET")
            batch.bytes.appendBulk(writeKey)
        default:
            batch.command(hasHeld ? 4 : 3)
            batch.beginLongCommand(label: "\(commandName) \(keyDescription)", argumentBytes: byteCount)
            batch.bytes.appendBulk(commandName)
            batch.bytes.appendBulk(writeKey)
            if hasHeld {
                batch.bytes.appendBulk(contentsOf: held)
                hasHeld = false
            }
        }
        batch.bytes.appendBulkHead(byteCount)
    }

    private func continueLongElement(_ bytes: RawSpan, into batch: CommandBatch) {
        elementBytesLeft -= bytes.byteCount
        if isLongElementHeld {
            held.append(bytes)
            guard elementBytesLeft == 0 else { return }
            isLongElementHeld = false
            var whole = ByteBuffer()
            swap(&whole, &held)
            element(whole.bytes, into: batch)
            return
        }
        batch.bytes.append(bytes)
        guard elementBytesLeft == 0 else { return }
        batch.bytes.appendLineEnd()
        batch.endLongCommand()
    }

    // MARK: The end

    private func end(_ batch: CommandBatch) {
        flush(batch)
        if let expiry = head.expiryMilliseconds {
            batch.command(3)
            batch.bytes.appendBulk("PEXPIREAT")
            batch.bytes.appendBulk(writeKey)
            // Asked for now: a large value may have taken long.
            let name = key
            batch.bytes.appendBulk(decimal: deadlines.deadline(expiry, name.span.bytes, head.database))
        }
        guard isGuarded else { return }
        if hasShadow { elementExpiry?.publish(writeKey, as: key, into: batch) }
        batch.command(3)
        batch.noteGuarded(key: keyDescription, database: head.database)
        batch.bytes.appendBulk("RENAMENX")
        batch.bytes.appendBulk(writeKey)
        batch.bytes.appendBulk(key)
        appendKeyCommand("UNLINK", key: writeKey, into: batch)
    }
}
