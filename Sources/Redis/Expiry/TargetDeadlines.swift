import Wire

/// Decides which deadline the target is given for a key, and is called with what the stream does to deadlines.
///
/// All times are Unix milliseconds. It lives on the queue of the flow whose commands it accompanies.
package protocol TargetDeadlines: AnyObject {
    /// What to write where the source's deadline is `deadline`.
    func deadline(_ deadline: Int64, key: RawSpan, database: UInt32) -> Int64
    /// The source has given the key a deadline, as far as is known.
    func mayExpire(_ key: RawSpan, database: UInt32) -> Bool
    /// The key is gone.
    func removed(_ key: RawSpan, database: UInt32)
    /// The value of `key`, with its deadline, may be at `destination` from here on.
    ///
    /// - Parameter mayStay: and at `key` still.
    func moved(
        _ key: RawSpan, database: UInt32, to destination: RawSpan, database destinationDatabase: UInt32, mayStay: Bool)
}

extension (any TargetDeadlines)? {
    /// As it is where nobody decides.
    package func deadline(_ deadline: Int64, _ key: RawSpan, _ database: UInt32) -> Int64 {
        guard let self else { return deadline }
        return self.deadline(deadline, key: key, database: database)
    }
}

extension CommandBatch {
    /// Changes deadlines that are what they are taken for, and only those: a key that has been removed, persisted or
    /// given another deadline since is left alone.
    static let deadlineScript: StaticString = """
        local m=tonumber(ARGV[1]) local n=tonumber(ARGV[2])
        for i=1,#KEYS do local d=tonumber(ARGV[2+n+i]) local t=redis.call('PEXPIRETIME',KEYS[i])
        if t>0 and t~=d+m then for j=1,n do if t==d+tonumber(ARGV[2+j]) then
        redis.call('PEXPIREAT',KEYS[i],string.format('%.0f',d+m)) break end end end end
        return 1
        """

    /// Gives each of `keys` the deadline beside it plus `margin`, where it now has that deadline plus one of `margins`.
    ///
    /// - Parameter deadlines: one a key.
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
    /// Gives each of `keys` the deadline beside it plus `margin`, where it now has that deadline plus one of `margins`.
    package func setDeadlines(
        _ keys: [(key: [UInt8], deadline: Int64)], database: UInt32, margin: Int64, margins: [Int64]
    ) async throws(TargetError) {
        try await servers.each(keys.map(\.key), in: database) { places in
            var arguments = [
                Array("EVAL".utf8), Array("\(CommandBatch.deadlineScript)".utf8), Array("\(places.count)".utf8),
            ]
            arguments += places.map { keys[$0].key }
            let numbers = [margin, Int64(margins.count)] + margins + places.map { keys[$0].deadline }
            return arguments + numbers.map { Array("\($0)".utf8) }
        }
    }
}
