import Wire

/// Decides which deadlines the target gets, and is told what the stream does to deadlines.
///
/// All times are Unix milliseconds. Confined to the queue of its flow.
package protocol TargetDeadlines: AnyObject {
    /// The deadline to write if the source's deadline is `deadline`.
    func deadline(_ deadline: Int64, key: RawSpan, database: UInt32) -> Int64
    /// Whether the source may have given the key a deadline, as far as is known.
    func mayExpire(_ key: RawSpan, database: UInt32) -> Bool
    /// Notes that the key is gone.
    func removed(_ key: RawSpan, database: UInt32)
    /// Notes that the value of `key` may now be at `destination`, with its deadline.
    ///
    /// - Parameter mayStay: whether the value may also still be at `key`.
    func moved(
        _ key: RawSpan, database: UInt32, to destination: RawSpan, database destinationDatabase: UInt32, mayStay: Bool)
}

extension (any TargetDeadlines)? {
    /// Returns the deadline unchanged if nobody decides.
    package func deadline(_ deadline: Int64, _ key: RawSpan, _ database: UInt32) -> Int64 {
        guard let self else { return deadline }
        return self.deadline(deadline, key: key, database: database)
    }
}

extension CommandBatch {
    /// A script that changes deadlines that still have an expected value. Keys that have been removed, persisted or given
    /// another deadline since are left alone.
    static let deadlineScript: StaticString = """
        local m=tonumber(ARGV[1]) local n=tonumber(ARGV[2])
        for i=1,#KEYS do local d=tonumber(ARGV[2+n+i]) local t=redis.call('PEXPIRETIME',KEYS[i])
        if t>0 and t~=d+m then for j=1,n do if t==d+tonumber(ARGV[2+j]) then
        redis.call('PEXPIREAT',KEYS[i],string.format('%.0f',d+m)) break end end end end
        return 1
        """

    /// Sets the deadline of each key to its entry in `deadlines` plus `margin`, if it now is the entry plus one of
    /// `margins`.
    ///
    /// - Parameter deadlines: one deadline for each key.
    package func appendDeadlines(
        keys: borrowing ArgumentBuffer, deadlines: borrowing ArgumentBuffer, margin: Int64, margins: [Int64]
    ) {
        append("EVAL") {
            $0.append(Self.deadlineScript)
            $0.append(Int64(keys.count))
            $0.append(contentsOf: keys)
            $0.append(margin)
            $0.append(Int64(margins.count))
            for margin in margins { $0.append(margin) }
            $0.append(contentsOf: deadlines)
        }
    }
}

extension TargetControl {
    /// Sets the deadline of each key to its `deadline` plus `margin`, if it now is the `deadline` plus one of `margins`.
    package func setDeadlines(
        _ keys: [(key: [UInt8], deadline: Int64)], database: UInt32, margin: Int64, margins: [Int64]
    ) async throws(TargetError) {
        try await servers.each(keys.map(\.key), in: database) { places in
            var arguments = [
                "EVAL".bytes, "\(CommandBatch.deadlineScript)".bytes, "\(places.count)".bytes,
            ]
            arguments += places.map { keys[$0].key }
            let numbers = [margin, Int64(margins.count)] + margins + places.map { keys[$0].deadline }
            return arguments + numbers.map { "\($0)".bytes }
        }
    }
}
