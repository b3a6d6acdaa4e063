import Wire

/// The replies to transactions, one after the other: what became of each batch.
///
/// ```
///        +OK             +QUEUED, one a command           *<n>              n replies
/// multi ─────▶ queued(0) ──────────────────────▶ exec ─────────▶ element(0) ─────────▶ ended
///                          or errors              └─ an error ──────────────────────▶ ended
/// ```
/// Pure: it does no I/O.
struct TransactionReplies {
    /// What the next reply is to.
    private enum Stage {
        /// To nothing.
        case idle
        case multi
        case queued(Int)
        case exec
        case element(Int, of: Int)
    }

    enum Progress: Equatable {
        /// Bytes are missing.
        case incomplete
        /// MULTI has been answered.
        case begun
        case ended(BatchOutcome)
    }

    private var stage = Stage.idle
    private var unexpected: [UnexpectedReply] = []
    /// Why the target does not even take MULTI: what follows runs without a transaction.
    private var rejection: String?
    /// The last reply, if it was an error: the reason, should the target close now.
    private(set) var lastError: String?

    /// The replies that follow are to another batch.
    mutating func begin() {
        stage = .multi
        unexpected = []
        rejection = nil
        lastError = nil
    }

    // MARK: How many bytes there are at least

    /// Bytes of the shortest reply there is in its place; an error is no shorter.
    private enum LeastReply {
        /// `+OK`
        static let ok = 5
        /// `+QUEUED`
        static let queued = 9
        /// `:0`
        static let element = 4
        /// An error, where nothing was applied, or `*`, the number of elements, and those: a transaction that is refused
        /// has no array.
        static func exec(_ count: Int) -> Int { min(4 + count * element, 12) }
    }

    /// The bytes that what is still to come has at least.
    func leastBytes(of batch: CommandBatch) -> Int {
        let count = batch.commandCount
        return switch stage {
        case .idle: 0
        case .multi: LeastReply.ok + count * LeastReply.queued + LeastReply.exec(count)
        case .queued(let number): (count - number) * LeastReply.queued + LeastReply.exec(count)
        case .exec: LeastReply.exec(count)
        case .element(let number, let count): (count - number) * LeastReply.element
        }
    }

    // MARK: Reading

    /// Reads an error that the target sends while it owes no answer: it is about to close.
    ///
    /// - Returns: `false` when bytes are missing.
    mutating func readUnasked(_ reader: inout ByteReader) throws -> Bool {
        let start = reader.offset
        guard let shape = try reader.scanReply() else { return false }
        guard shape == .error else {
            throw TargetError(.protocolViolation, "the target sent a reply that nothing asked for")
        }
        _ = noteError(in: reader.bytes, from: start)
        return true
    }

    /// Reads replies to `batch`, which is the oldest on its way.
    mutating func read(_ reader: inout ByteReader, to batch: CommandBatch) throws -> Progress {
        while reader.remaining > 0 {
            // A step that returns nothing is followed by the next one.
            let progress: Progress?
            switch stage {
            case .idle: return .incomplete
            case .multi: progress = try readBegin(&reader)
            case .queued(let number) where number < batch.commandCount:
                progress = try readQueued(number, of: batch.commandCount, &reader)
            case .queued:
                if batch.isSealed {
                    stage = .exec
                    progress = nil
                } else {
                    // A command that is still being written: the target has given it up.
                    progress = try readUnasked(&reader) ? nil : .incomplete
                }
            case .exec: progress = try readExec(&reader, of: batch)
            case .element(let number, let count): progress = try readElement(number, of: count, &reader, to: batch)
            }
            if let progress { return progress }
        }
        return .incomplete
    }

    private mutating func readBegin(_ reader: inout ByteReader) throws -> Progress? {
        let start = reader.offset
        guard let shape = try reader.scanReply() else { return .incomplete }
        if shape == .error { rejection = noteError(in: reader.bytes, from: start) }
        stage = .queued(0)
        return .begun
    }

    private mutating func readQueued(_ number: Int, of count: Int, _ reader: inout ByteReader) throws -> Progress? {
        let plain = reader.skipPlainReplies(atMost: count - number)
        if plain > 0 {
            if lastError != nil { lastError = nil }
            stage = .queued(number + plain)
            return nil
        }
        let start = reader.offset
        guard let shape = try reader.scanReply() else { return .incomplete }
        if shape == .error {
            unexpected.append(.init(command: number, kind: .error(noteError(in: reader.bytes, from: start))))
        } else if lastError != nil {
            lastError = nil
        }
        stage = .queued(number + 1)
        return nil
    }

    private mutating func readExec(_ reader: inout ByteReader, of batch: CommandBatch) throws -> Progress? {
        guard reader.peekUInt8() == UInt8(ascii: "*") else { return try readRefusal(&reader) }
        guard let count = try reader.readReplyArrayHead() else {
            guard try reader.scanReply() != nil else { return .incomplete }
            throw TargetError(.protocolViolation, "the target dropped a transaction")
        }
        guard count == batch.commandCount else {
            throw TargetError(
                .protocolViolation, "the target answered \(count) of \(batch.commandCount) commands of a transaction")
        }
        stage = .element(0, of: count)
        return count == 0 ? end(.applied([])) : nil
    }

    private mutating func readRefusal(_ reader: inout ByteReader) throws -> Progress? {
        let start = reader.offset
        guard let shape = try reader.scanReply() else { return .incomplete }
        guard shape == .error else {
            throw TargetError(.protocolViolation, "EXEC was not answered by an array")
        }
        guard unexpected.isEmpty || rejection != nil else { return end(.refused(unexpected)) }
        return end(.rejected(rejection ?? errorText(in: reader.bytes, from: start)))
    }

    private mutating func readElement(
        _ number: Int, of count: Int, _ reader: inout ByteReader, to batch: CommandBatch
    ) throws -> Progress? {
        let plain = reader.skipPlainReplies(atMost: count - number)
        var next = number + plain
        if plain == 0 {
            let start = reader.offset
            guard let shape = try reader.scanReply() else { return .incomplete }
            if shape == .error {
                let text = errorText(in: reader.bytes, from: start)
                unexpected.append(.init(command: number, kind: .error(text)))
            } else {
                let isZero = shape == .integer && reader.bytes[start + 1] == UInt8(ascii: "0")
                let kind = UnexpectedReply.Kind(shape, isZero: isZero, to: number, of: batch)
                if let kind { unexpected.append(.init(command: number, kind: kind)) }
            }
            next = number + 1
        }
        if next == count { return end(.applied(unexpected)) }
        stage = .element(next, of: count)
        return nil
    }

    private mutating func end(_ outcome: BatchOutcome) -> Progress {
        stage = .idle
        return .ended(outcome)
    }

    private mutating func noteError(in bytes: RawSpan, from start: Int) -> String {
        let text = errorText(in: bytes, from: start)
        lastError = text
        return text
    }

    private func errorText(in bytes: RawSpan, from start: Int) -> String {
        var reader = ByteReader(bytes, offset: start)
        return (try? reader.readRESPValue())?.errorText ?? "an error"
    }
}
