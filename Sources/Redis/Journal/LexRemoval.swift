import Wire

/// A parsed `ZREMRANGEBYLEX key min max`.
///
/// Which members it removes is specified only if all have the same score. If not, the source removes other members than a Redis
/// (Protocol 5.6 row 28). A script removes them and says whether all members had the same score.
struct LexRemoval {
    /// - Returns: `nil` if the command has another form.
    init?(_ command: borrowing JournalCommand) {
        if command.argumentCount != 4 { return nil }
    }

    /// Appends a command that has the same effect as `command`, from which this value was made.
    func append(
        _ command: borrowing JournalCommand, to batch: CommandBatch, profile: TargetProfile
    ) -> RewriteOutcome {
        guard profile.hasScripts else {
            batch.append(command)
            return .writtenDiverging(.lexOrder)
        }
        batch.append("EVAL") {
            $0.append(Self.script)
            $0.append("1")
            $0.append(contentsOf: command, from: 1)
        }
        batch.noteDoubt(ReplyDoubt(.lexOrder, command: "ZREMRANGEBYLEX"))
        return .written
    }

    /// Returns 0 if members have different scores.
    private static let script: StaticString = """
        local K = KEYS[1]
        local first = redis.call('ZRANGE', K, 0, 0, 'WITHSCORES')[2]
        local last = redis.call('ZRANGE', K, -1, -1, 'WITHSCORES')[2]
        redis.call('ZREMRANGEBYLEX', K, ARGV[1], ARGV[2])
        return first == last and 1 or 0
        """
}
