import Wire

/// Dragonfly's own TTLs of fields and members: relative seconds, made absolute with the time of arrival.
extension JournalRewriter {
    /// `SADDEX key [KEEPTTL] seconds member...` without its TTL.
    func addMembersWithExpiry(_ command: borrowing JournalCommand, into batch: CommandBatch) -> RewriteOutcome {
        guard command.argumentCount >= 4 else { return .unsupported(.unknownCommand) }
        let skipped = command.argument(at: 2).isWord("KEEPTTL") ? 4 : 3
        guard command.argumentCount > skipped else { return .unsupported(.unknownCommand) }
        batch.command(2 + command.argumentCount - skipped)
        batch.bytes.appendBulk("SADD")
        batch.bytes.appendBulk(command.argument(at: 1))
        var arguments = command.arguments
        for _ in 0..<skipped { _ = arguments.next() }
        while let member = arguments.next() { batch.bytes.appendBulk(member) }
        return .writtenWithout(.memberExpiry)
    }

    /// `FIELDEXPIRE key seconds field...`, on a hash; on a set the target answers WRONGTYPE.
    func expireFields(_ command: borrowing JournalCommand, now: Int64, into batch: CommandBatch) -> RewriteOutcome {
        guard command.argumentCount >= 4, let seconds = parseInteger(command.argument(at: 2)), seconds >= 0,
            seconds < 1 << 32
        else { return .unsupported(.unknownCommand) }
        guard profile.hasFieldExpiry else { return .unsupported(.fieldExpiry) }
        var fields = command.arguments
        for _ in 0..<3 { _ = fields.next() }
        batch.command(5 + command.argumentCount - 3)
        batch.bytes.appendBulk("HPEXPIREAT")
        batch.bytes.appendBulk(command.argument(at: 1))
        batch.bytes.appendBulk(decimal: now + seconds * 1000)
        batch.bytes.appendBulk("FIELDS")
        batch.bytes.appendBulk(decimal: Int64(command.argumentCount - 3))
        while let field = fields.next() { batch.bytes.appendBulk(field) }
        return .written
    }

    /// `HSETEX key [NX] [KEEPTTL] seconds field value...`
    func setFieldsWithExpiry(
        _ command: borrowing JournalCommand, now: Int64, into batch: CommandBatch
    ) -> RewriteOutcome {
        var place = 2
        var onlyNew = false
        var keepsExpiry = false
        while place < command.argumentCount {
            let option = command.argument(at: place)
            if option.isWord("NX") {
                onlyNew = true
            } else if option.isWord("KEEPTTL") {
                keepsExpiry = true
            } else {
                break
            }
            place += 1
        }
        let pairs = command.argumentCount - place - 1
        guard pairs >= 2, pairs % 2 == 0, let seconds = parseInteger(command.argument(at: place)), seconds >= 0,
            seconds < 1 << 32
        else { return .unsupported(.unknownCommand) }
        let first = place + 1
        func forEachPair(_ body: (RawSpan, RawSpan) -> Void) {
            var arguments = command.arguments
            for _ in 0..<first { _ = arguments.next() }
            while let field = arguments.next(), let value = arguments.next() { body(field, value) }
        }
        let key = command.argument(at: 1)
        if onlyNew {
            forEachPair { field, value in
                batch.command(4)
                batch.bytes.appendBulk("HSETNX")
                batch.bytes.appendBulk(key)
                batch.bytes.appendBulk(field)
                batch.bytes.appendBulk(value)
            }
        } else {
            batch.command(2 + pairs)
            batch.bytes.appendBulk("HSET")
            batch.bytes.appendBulk(key)
            forEachPair { field, value in
                batch.bytes.appendBulk(field)
                batch.bytes.appendBulk(value)
            }
        }
        guard profile.hasFieldExpiry else { return .writtenWithout(.fieldExpiry) }
        batch.command((onlyNew ? 6 : 5) + pairs / 2)
        batch.bytes.appendBulk("HPEXPIREAT")
        batch.bytes.appendBulk(key)
        batch.bytes.appendBulk(decimal: now + seconds * 1000)
        if onlyNew { batch.bytes.appendBulk("NX") }
        batch.bytes.appendBulk("FIELDS")
        batch.bytes.appendBulk(decimal: Int64(pairs / 2))
        forEachPair { field, _ in batch.bytes.appendBulk(field) }
        return onlyNew || keepsExpiry ? .writtenDiverging(.conditionalFieldExpiry) : .written
    }

    /// `HEXPIRE key seconds [NX|XX|GT|LT] FIELDS n field...`; 0 seconds deletes the fields.
    func hashExpire(_ command: borrowing JournalCommand, now: Int64, into batch: CommandBatch) -> RewriteOutcome {
        guard command.argumentCount >= 6, let seconds = parseInteger(command.argument(at: 2)), seconds >= 0,
            seconds < 1 << 32
        else { return .unsupported(.unknownCommand) }
        let key = command.argument(at: 1)
        let fieldsAt = command.argument(at: 3).isWord("FIELDS") ? 5 : 6
        guard command.argumentCount > fieldsAt else { return .unsupported(.unknownCommand) }
        var arguments = command.arguments
        for _ in 0..<3 { _ = arguments.next() }
        guard profile.hasFieldExpiry else {
            guard seconds == 0 else { return .unsupported(.fieldExpiry) }
            for _ in 3..<fieldsAt { _ = arguments.next() }
            batch.command(2 + command.argumentCount - fieldsAt)
            batch.bytes.appendBulk("HDEL")
            batch.bytes.appendBulk(key)
            while let field = arguments.next() { batch.bytes.appendBulk(field) }
            return .written
        }
        batch.command(command.argumentCount)
        batch.bytes.appendBulk("HPEXPIREAT")
        batch.bytes.appendBulk(key)
        batch.bytes.appendBulk(decimal: now + seconds * 1000)
        while let argument = arguments.next() { batch.bytes.appendBulk(argument) }
        return .written
    }
}
