import Wire

/// A parsed `ZADD` with GT or LT.
///
/// Up to v1.40 the source ignores both options in a sorted set that is encoded as a skip list (Protocol 5.6 row 25): one that
/// has, or has had, more than 128 members or a member of more than 32 bytes. A script does the same. It cannot know that of a
/// smaller set whose members are short; the reply says so if it matters.
struct ComparingAdd {
    /// The longest member of a set that is not encoded as a skip list, in bytes.
    private static let longestMember = 32

    private let option: StaticString
    /// Whether XX is set: only members that are there are changed.
    private let isForExisting: Bool
    /// Whether INCR is set. The source journals none that GT or LT has stopped.
    private let isIncrement: Bool
    /// The place of the first score among the arguments.
    private let first: Int

    /// - Returns: `nil` if the command has neither option, or another form.
    init?(_ command: borrowing JournalCommand) {
        var option: StaticString?
        var (isForExisting, isIncrement) = (false, false)
        var place = 2
        options: while place < command.argumentCount {
            let word = command.argument(at: place)
            if word.isWord("GT") {
                option = "GT"
            } else if word.isWord("LT") {
                option = "LT"
            } else if word.isWord("XX") {
                isForExisting = true
            } else if word.isWord("INCR") {
                isIncrement = true
            } else if !word.isWord("CH") {
                break options
            }
            place += 1
        }
        guard let option, place + 1 < command.argumentCount, (command.argumentCount - place).isMultiple(of: 2) else {
            return nil
        }
        (self.option, self.isForExisting, self.isIncrement, first) = (option, isForExisting, isIncrement, place)
    }

    /// Appends a command that has the same effect as `command`, from which this value was made.
    func append(
        _ command: borrowing JournalCommand, to batch: CommandBatch, profile: TargetProfile
    ) -> RewriteOutcome {
        if isIncrement || hasLongMembersOnly(command) {
            appendAdd(command, comparing: false, to: batch)
            return .written
        }
        let doubt = ReplyDoubt(.ignoredComparison, command: "ZADD")
        if profile.hasScripts {
            batch.append("EVAL") {
                $0.append(Self.script)
                $0.append("1")
                $0.append(command.argument(at: 1))
                $0.append(option)
                $0.append(isForExisting ? "XX" : "")
                $0.append(contentsOf: command, from: first)
            }
            batch.noteDoubt(doubt)
            return .written
        }
        appendAdd(command, comparing: true, to: batch)
        guard command.argumentCount == first + 2 else { return .writtenDiverging(.ignoredComparison) }
        batch.noteDoubt(doubt)
        return .written
    }

    /// Whether each member is so long that its set, if it has the member, is encoded as a skip list.
    private func hasLongMembersOnly(_ command: borrowing JournalCommand) -> Bool {
        for place in stride(from: first + 1, to: command.argumentCount, by: 2)
        where command.argument(at: place).byteCount <= Self.longestMember {
            return false
        }
        return true
    }

    private func appendAdd(_ command: borrowing JournalCommand, comparing: Bool, to batch: CommandBatch) {
        batch.append("ZADD") {
            $0.append(command.argument(at: 1))
            if isForExisting { $0.append("XX") }
            if comparing {
                $0.append(option)
                $0.append("CH")
            }
            if isIncrement { $0.append("INCR") }
            $0.append(contentsOf: command, from: first)
        }
    }

    /// Returns 0 if a score was left as it is and the source may have changed it.
    private static let script: StaticString = """
        local K, option, xx = KEYS[1], ARGV[1], ARGV[2] == 'XX'
        local function has_long_member()
        for _, m in ipairs(redis.call('ZRANGE', K, 0, -1)) do if #m > 32 then return true end end
        end
        local certain = 1
        for i = 3, #ARGV, 2 do
        local score, member = ARGV[i], ARGV[i + 1]
        local old, new = redis.call('ZSCORE', K, member), tonumber(score)
        if not old then
        if not xx then redis.call('ZADD', K, score, member) end
        elseif not new then
        redis.call('ZADD', K, option, score, member)
        certain = 0
        else
        old = tonumber(old)
        if option == 'GT' and new > old or option == 'LT' and new < old or #member > 32 or redis.call('ZCARD', K) > 128
        or new ~= old and has_long_member() then
        redis.call('ZADD', K, score, member)
        elseif new ~= old then certain = 0 end
        end
        end
        return certain
        """
}
