import Wire

/// A parsed `HSETEX` or `HGETEX`, in Dragonfly's own form or in that of Redis 8.
///
/// ```
/// HSETEX key [NX|FNX|FXX] [KEEPTTL] seconds field value ...                                  v1.39 added FNX and FXX
/// HSETEX key [FNX|FXX] [EX s|PX ms|EXAT s|PXAT ms|KEEPTTL] FIELDS n field value ...          from v1.39
/// HGETEX key [EX s|PX ms|EXAT s|PXAT ms|PERSIST] FIELDS n field ...                          from v1.40
/// ```
/// The journal has each command as the client sent it, even if the command changed nothing. From v1.40 on, fields whose TTLs
/// had passed are removed by an HDEL before it. Options come in any order.
struct FieldExpiryCommand {
    enum Condition {
        case always, eachMissing, allMissing, allPresent

        var scriptMode: StaticString {
            switch self {
            case .always: "ALL"
            case .eachMissing: "NX"
            case .allMissing: "FNX"
            case .allPresent: "FXX"
            }
        }
    }

    enum Expiry: Equatable {
        /// The TTL stays as it is (HGETEX only).
        case unchanged
        case none
        /// Unix milliseconds of a whole second, because the source counts in seconds.
        case at(Int64)
    }

    var condition = Condition.always
    /// Whether a field keeps the TTL that it has.
    var keepsExpiry = false
    var expiry = Expiry.none
    /// Whether the TTL is relative and 0, so that HGETEX removes the fields.
    var isDue = false
    /// Whether the TTL is counted from the time at which the command ran.
    private(set) var isRelative = false
    /// The index of the first field, and the number of arguments for fields and their values.
    var first = 0
    var count = 0

    /// - Parameter now: the latest time at which the command ran at the source, in Unix milliseconds.
    /// - Returns: `nil` if the command has another form.
    init?(_ command: borrowing JournalCommand, now: Int64) {
        let isSet = command.name == "HSETEX"
        if !isSet { expiry = .unchanged }
        var place = 2
        while place < command.argumentCount {
            let option = command.argument(at: place)
            switch true {
            case isSet && option.isWord("NX"): condition = .eachMissing
            case isSet && option.isWord("FNX"): condition = .allMissing
            case isSet && option.isWord("FXX"): condition = .allPresent
            case isSet && option.isWord("KEEPTTL"): keepsExpiry = true
            case !isSet && option.isWord("PERSIST"): expiry = .none
            case option.isWord("FIELDS"):
                let pair = isSet ? 2 : 1
                guard place + 1 < command.argumentCount, let number = parseInteger(command.argument(at: place + 1)),
                    number > 0, number <= command.argumentCount,
                    place + 2 + Int(number) * pair == command.argumentCount
                else { return nil }
                (first, count) = (place + 2, Int(number) * pair)
                return
            default:
                if place + 1 < command.argumentCount, let unit = Unit(option) {
                    guard let value = parseInteger(command.argument(at: place + 1)), value >= 0,
                        value < Self.longestMilliseconds / unit.milliseconds
                    else { return nil }
                    expiry = .at(unit.deadline(value, now: now))
                    isRelative = unit.isRelative
                    isDue = unit.isRelative && value == 0
                    place += 1
                } else {
                    // Dragonfly's own form: seconds, then fields.
                    guard isSet, expiry == .none, let seconds = parseInteger(option), seconds >= 0, seconds < 1 << 32
                    else { return nil }
                    expiry = .at(Unit.seconds.deadline(seconds, now: now))
                    isRelative = true
                    (first, count) = (place + 1, command.argumentCount - place - 1)
                    guard count >= 2, count % 2 == 0 else { return nil }
                    return
                }
            }
            place += 1
        }
        return nil
    }

    /// - Parameter window: when the command ran. It decides whether the deadline is exact.
    /// - Returns: `nil` if the command gives no deadline.
    func deadline(in window: ExecutionWindow) -> ElementDeadline? {
        guard case .at(let deadline) = expiry else { return nil }
        return ElementDeadline(deadline, isRelative: isRelative, in: window)
    }

    private static let longestMilliseconds: Int64 = 1 << 50

    private struct Unit {
        static let seconds = Unit(milliseconds: 1000, isRelative: true)

        var milliseconds: Int64
        var isRelative: Bool

        init(milliseconds: Int64, isRelative: Bool) {
            (self.milliseconds, self.isRelative) = (milliseconds, isRelative)
        }

        init?(_ option: RawSpan) {
            if option.isWord("EX") {
                self = .seconds
            } else if option.isWord("PX") {
                self = Unit(milliseconds: 1, isRelative: true)
            } else if option.isWord("EXAT") {
                self = Unit(milliseconds: 1000, isRelative: false)
            } else if option.isWord("PXAT") {
                self = Unit(milliseconds: 1, isRelative: false)
            } else {
                return nil
            }
        }

        /// The deadline in Unix milliseconds, rounded up to whole seconds.
        func deadline(_ value: Int64, now: Int64) -> Int64 {
            let seconds = (value * milliseconds + 999) / 1000
            return (isRelative ? now / 1000 + seconds : seconds) * 1000
        }
    }
}

/// Encodes the deadline, or an empty argument if there is none.
extension FieldExpiryCommand.Expiry: CommandArgument {
    func appendBulk(to buffer: inout ByteBuffer) {
        if case .at(let deadline) = self { buffer.appendBulk(decimal: deadline) } else { buffer.appendBulk("") }
    }
}
