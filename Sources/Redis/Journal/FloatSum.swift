import Wire

/// A parsed `INCRBYFLOAT key by` or `HINCRBYFLOAT key field by`.
///
/// The source computes the sum in double and a Redis computes it in long double (Protocol 5.6 row 13). So a script adds like
/// the source and formats the sum like the source.
struct FloatSum {
    private let isInField: Bool

    /// - Returns: `nil` if the command has another form.
    init?(_ command: borrowing JournalCommand) {
        isInField = command.name == "HINCRBYFLOAT"
        guard command.argumentCount == (isInField ? 4 : 3) else { return nil }
    }

    /// Appends a script that has the same effect as `command`, from which this value was made.
    func append(_ command: borrowing JournalCommand, to batch: CommandBatch, profile: TargetProfile) {
        let store: StaticString =
            isInField ? (profile.hasFieldExpiry ? Self.setFieldKeepingExpiry : Self.setField) : Self.setKey
        batch.append("EVAL") {
            $0.append(Self.add, followedBy: store)
            $0.append("1")
            $0.append(contentsOf: command, from: 1)
        }
    }

    /// Nothing is added to a value that is not a number: the source has something else there, for example because the TTL of
    /// the field has ended. Nor is anything stored that is no finite number, as the source may do (Protocol 5.6 row 21).
    ///
    /// Lua's numbers are doubles. The shortest text that reads back as the same number has 15 digits without trailing zeros,
    /// or 16, or 17; subnormal numbers have fewer. The exponent form is used from 1e21 on and below 1e-6.
    private static let add: StaticString = """
        local function add(old, by)
        old, by = tonumber(old or '0'), tonumber(by)
        if not old or not by then return end
        local v = old + by
        if v ~= v or v == math.huge or v == -math.huge then return end
        local s
        for p = math.abs(v) < 2.3e-308 and 0 or 14, 16 do
        s = string.format('%.' .. p .. 'e', v)
        if tonumber(s) == v then break end
        end
        local sign, first, rest, e = string.match(s, '^(-?)(%d)%.?(%d*)e([-+]%d+)$')
        local d = string.match(first .. rest, '^(%d-)0*$')
        e = tonumber(e)
        if d == '' then return '0' end
        if e >= 21 or e < -6 then
        return sign .. string.sub(d, 1, 1) .. (#d > 1 and '.' .. string.sub(d, 2) or '') .. 'e' .. (e < 0 and e or '+' .. e)
        end
        if e < 0 then return sign .. '0.' .. string.rep('0', -e - 1) .. d end
        if #d <= e + 1 then return sign .. d .. string.rep('0', e + 1 - #d) end
        return sign .. string.sub(d, 1, e + 1) .. '.' .. string.sub(d, e + 2)
        end

        """

    private static let setField: StaticString = """
        local sum = add(redis.call('HGET', KEYS[1], ARGV[1]), ARGV[2])
        if not sum then return redis.error_reply('ERR hash value is not a float') end
        redis.call('HSET', KEYS[1], ARGV[1], sum)
        """

    /// Keeps the TTL of the field, as the source does, although HSET removes it.
    private static let setFieldKeepingExpiry: StaticString = """
        local K, f = KEYS[1], ARGV[1]
        local sum = add(redis.call('HGET', K, f), ARGV[2])
        if not sum then return redis.error_reply('ERR hash value is not a float') end
        local at = redis.call('HPEXPIRETIME', K, 'FIELDS', 1, f)
        redis.call('HSET', K, f, sum)
        if type(at) == 'table' and at[1] > 0 then
        redis.call('HPEXPIREAT', K, string.format('%.0f', at[1]), 'FIELDS', 1, f)
        end
        """

    private static let setKey: StaticString = """
        local sum = add(redis.call('GET', KEYS[1]), ARGV[1])
        if not sum then return redis.error_reply('ERR value is not a valid float') end
        redis.call('SET', KEYS[1], sum, 'KEEPTTL')
        """
}
