import Wire

/// Reads the replies to transactions, one after the other, and says what became of each batch.
///
/// ```
///        +OK             +QUEUED, one a command           *<n>              n replies
/// multi ─────▶ queued(0) ──────────────────────▶ exec ─────────▶ element(0) ─────────▶ ended
///                          or errors              └─ an error ──────────────────────▶ ended
/// ```
/// Pure: it does no I/O.
struct TransactionReplies {
    /// What the next reply answers.
    private enum Stage {
        /// Nothing.
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
    /// Why the target refused MULTI. The commands after it run without a transaction.
    private var rejection: String?
    /// The text of the last reply, if it was an error: the likely reason if the target closes the connection now.
    private(set) var lastError: String?

    /// The replies that follow answer another batch.
    mutating func begin() {
        stage = .multi
        unexpected = []
        rejection = nil
        lastError = nil
    }

    // MARK: The least length

    /// The length in bytes of the shortest reply at each place. An error is not shorter.
    private enum LeastReply {
        /// `+OK`
        static let ok = 5
        /// `+QUEUED`
        static let queued = 9
        /// `:0`
        static let element = 4
        /// `*`, the number of elements, and the elements; or an error if the transaction is refused.
        static func exec(_ count: Int) -> Int { min(4 + count * element, 12) }
    }

    /// How many bytes the replies that are still to come have at least.
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

    /// Reads an error that the target sends although it owes no answer, because it is about to close the connection.
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

    /// Reads replies to `batch`, the oldest batch on its way.
    mutating func read(_ reader: inout ByteReader, to batch: CommandBatch) throws -> Progress {
        while reader.remaining > 0 {
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
                    // The target refuses the command that is still being written.
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
                let reply = ReplyOutline(shape, of: reader.bytes.extracting(start..<reader.offset))
                let kind = UnexpectedReply.Kind(reply, to: number, of: batch)
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
