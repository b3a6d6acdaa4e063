package import Wire

/// Writes one value as commands of bounded size, for a value that is too large for one RESTORE or whose type cannot be
/// restored.
///
/// The key is removed first (`UNLINK`) and then filled piece by piece. If an existing key must not be touched (`isGuarded`),
/// the pieces go to a key of df2redis' own, which takes the name at the end (`RENAMENX`).
package final class ValueWriter {
    /// The number of bytes or arguments up to which elements are collected before they are sent as one command.
    private static let pieceBytes = 64 << 10
    private static let pieceArguments = 512

    package let head: EntryHead
    package let key: [UInt8]
    private let writeKey: [UInt8]
    private let isGuarded: Bool
    private let profile: TargetProfile
    private let now: Int64
    private let elementExpiry: ElementExpiry?
    private let deadlines: (any TargetDeadlines)?
    /// The number of TTLs of fields or members that could not be kept.
    package private(set) var lostMemberExpiries = 0
    /// The number of pending entries of a consumer group whose consumer or entry is missing.
    package private(set) var lostPendingEntries = 0

    /// Why the value is malformed although its encoding was sound. In this case nothing of it may count as replicated.
    package var failure: WireError? { stream?.failure }

    /// The number of consumer groups of the stream.
    package private(set) var groupCount = 0

    /// The elements of the next command.
    private var staged = ArgumentBuffer()
    /// Pairs of deadline and field, for HPEXPIREAT.
    private var fieldDeadlines = ArgumentBuffer()
    /// Pairs of deadline and element for the key's shadow.
    private var elementDeadlines = ArgumentBuffer()
    private var earliestDeadline = Int64.max
    private var hasShadow = false
    /// The first half of a pair whose second half has not arrived: a field, or a member of a sorted set.
    private var pendingFirst = ByteBuffer()
    private var hasPendingFirst = false
    /// The element before an expiry event, which is then removed or gets a TTL.
    private var lastElement = ByteBuffer()
    private var placeOfElement = ArgumentBuffer.Place()
    private var elementBytesLeft = 0
    /// Whether a long element is collected in `pendingFirst` until it is complete.
    private var isCollectingElement = false
    private var hasBegun = false
    private var stream: StreamWriter?

    /// - Parameters:
    ///   - now: the Unix time in milliseconds; elements that have expired by then are left out.
    ///   - elementExpiry: keeps the TTLs of elements; `nil` if TTLs that the target cannot keep itself are lost.
    package init(
        head: EntryHead, key: RawSpan, profile: TargetProfile, now: Int64, guardKey: [UInt8]? = nil,
        elementExpiry: ElementExpiry? = nil, deadlines: (any TargetDeadlines)? = nil
    ) {
        self.head = head
        self.key = Array(copying: key)
        keyDescription = printableKey(key)
        isGuarded = guardKey != nil
        writeKey = guardKey ?? self.key
        self.profile = profile
        self.now = now
        self.elementExpiry = elementExpiry
        self.deadlines = deadlines
    }

    package let keyDescription: String

    /// The key of df2redis' own under which the value is being built, if there is one.
    package var partialKey: [UInt8]? { isGuarded && hasBegun ? writeKey : nil }

    /// Ends the value in the middle and removes what has been written of it. If the key itself was being written, its old
    /// value is gone as well.
    package func removeWritten(from batch: CommandBatch) {
        if !isGuarded || hasBegun { batch.append("UNLINK", writeKey) }
    }

    /// - Returns: `true` at the end of the value.
    package func write(_ event: borrowing ValueEvent, into batch: CommandBatch) -> Bool {
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
            stream?.write(event, into: batch)
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
        if head.type != .string || isGuarded { batch.append("UNLINK", writeKey) }
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
        case .string: batch.append("SET", writeKey, bytes)
        case .json:
            batch.append("JSON.SET") {
                $0.append(writeKey)
                $0.append("$")
                $0.append(bytes)
            }
        default:
            if (isHash || isSortedSet) && !hasPendingFirst {
                setPendingFirst(bytes)
                return
            }
            if !hasPendingFirst {
                makeRoom(bytes.byteCount, into: batch)
            } else {
                makeRoom(bytes.byteCount + pendingFirst.count, into: batch)
            }
            placeOfElement = staged.end
            if hasPendingFirst { stagePendingFirst() } else { remember(bytes) }
            staged.append(bytes)
        }
    }

    private func setPendingFirst(_ bytes: RawSpan) {
        pendingFirst.removeAll()
        pendingFirst.append(bytes)
        hasPendingFirst = true
        remember(bytes)
    }

    private func remember(_ bytes: RawSpan) {
        guard head.type == .hashWithExpiry || head.type == .setWithExpiry else { return }
        lastElement.removeAll()
        lastElement.append(bytes)
    }

    private func stagePendingFirst() {
        staged.append(pendingFirst)
        hasPendingFirst = false
    }

    private func makeRoom(_ byteCount: Int, into batch: CommandBatch) {
        if staged.bytes.count + byteCount > Self.pieceBytes || staged.count >= Self.pieceArguments { flush(batch) }
    }

    private func score(_ score: Double, into batch: CommandBatch) {
        guard hasPendingFirst else { return }
        makeRoom(pendingFirst.count + 32, into: batch)
        staged.append(score: score)
        stagePendingFirst()
    }

    private func expiry(_ time: Int64?, into batch: CommandBatch) {
        guard let time else { return }
        if time <= now {
            // The element has expired and counts as if it had never existed.
            if !staged.isEmpty, staged.reaches(placeOfElement) {
                staged.removeAll(after: placeOfElement)
            } else {
                batch.append(head.type == .hashWithExpiry ? "HDEL" : "SREM", writeKey, lastElement)
            }
            return
        }
        let isField = head.type == .hashWithExpiry
        if isField, profile.hasFieldExpiry {
            fieldDeadlines.append(time)
            fieldDeadlines.append(lastElement)
        } else if elementExpiry?.keeps(isField: isField) != true {
            lostMemberExpiries += 1
        }
        guard let elementExpiry, elementExpiry.keeps(isField: isField) else { return }
        elementDeadlines.append(time)
        elementDeadlines.append(lastElement)
        earliestDeadline = min(earliestDeadline, time)
    }

    /// Sends the staged elements as one command, followed by their TTLs.
    private func flush(_ batch: CommandBatch) {
        if !staged.isEmpty {
            batch.append(commandName) {
                $0.append(writeKey)
                $0.append(contentsOf: staged)
            }
            staged.removeAll()
        }
        if !fieldDeadlines.isEmpty { flushFieldDeadlines(batch) }
        if !elementDeadlines.isEmpty { flushElementDeadlines(batch) }
        placeOfElement = ArgumentBuffer.Place()
    }

    private func flushFieldDeadlines(_ batch: CommandBatch) {
        fieldDeadlines.forEachPair { deadline, field in
            batch.append("HPEXPIREAT") {
                $0.append(writeKey)
                $0.append(deadline)
                $0.append("FIELDS")
                $0.append("1")
                $0.append(field)
            }
        }
        fieldDeadlines.removeAll()
    }

    private func flushElementDeadlines(_ batch: CommandBatch) {
        guard let elementExpiry else { return }
        batch.append("ZADD") {
            $0.append(elementExpiry.shadow(of: writeKey))
            $0.append(contentsOf: elementDeadlines)
        }
        batch.append("ZADD") {
            $0.append(elementExpiry.due(of: writeKey))
            $0.append("LT")
            $0.append(earliestDeadline)
            $0.append(writeKey)
        }
        elementDeadlines.removeAll()
        hasShadow = true
    }

    // MARK: Elements of any size

    private func beginLongElement(_ byteCount: Int, into batch: CommandBatch) {
        elementBytesLeft = byteCount
        if isSortedSet || head.type == .json || head.type == .setWithExpiry {
            // These elements wait until they are complete: ZADD needs the score first, JSON.SET needs one whole argument,
            // and the TTL of a member needs the member again.
            isCollectingElement = true
            pendingFirst.removeAll()
            return
        }
        let isField = isHash && !hasPendingFirst
        if isField {
            // The field waits until it is complete, because it precedes a value of unknown size.
            isCollectingElement = true
            pendingFirst.removeAll()
            return
        }
        flush(batch)
        let name: StaticString = head.type == .string ? "SET" : commandName
        batch.beginLongCommand(name, label: "\(name) \(keyDescription)", argumentBytes: byteCount) {
            $0.append(writeKey)
            if hasPendingFirst { $0.append(pendingFirst) }
        }
        hasPendingFirst = false
    }

    private func continueLongElement(_ bytes: RawSpan, into batch: CommandBatch) {
        elementBytesLeft -= bytes.byteCount
        if isCollectingElement {
            pendingFirst.append(bytes)
            guard elementBytesLeft == 0 else { return }
            isCollectingElement = false
            var whole = ByteBuffer()
            swap(&whole, &pendingFirst)
            element(whole.bytes, into: batch)
            return
        }
        batch.appendToLongCommand(bytes)
        if elementBytesLeft == 0 { batch.endLongCommand() }
    }

    // MARK: The end

    private func end(_ batch: CommandBatch) {
        flush(batch)
        if let expiry = head.expiryMilliseconds {
            // The deadline is determined only now, because writing a large value may have taken long.
            let name = key
            batch.append("PEXPIREAT", writeKey, deadlines.deadline(expiry, name.span.bytes, head.database))
        }
        guard isGuarded else { return }
        if hasShadow { elementExpiry?.publish(writeKey, as: key, into: batch) }
        batch.append("RENAMENX", writeKey, key)
        batch.noteGuarded(key: keyDescription, database: head.database)
        batch.append("UNLINK", writeKey)
    }
}
