/// An error of the target that does not say that it differs: the source journals some commands whether it takes them or not,
/// and takes numbers that no Redis does (Protocol 5.6 rows 20 and 21). The raw value names it in logs, counters and the
/// dead-letter file.
enum ExpectedRefusal: String, CaseIterable {
    /// The source refuses such a command as well, as far as the journal says.
    case command = "refused-alike"
    /// The source took it: it reads numbers and stream ids less strictly, or has another value there.
    case number = "number-format"

    /// - Parameters:
    ///   - name: of the command.
    ///   - isStore: it is a SORT or GEORADIUS ... STORE, or runs one.
    init?(_ text: String, of name: String, isStore: Bool) {
        if isStore || Self.isOfCommand(text, name) {
            self = .command
        } else if Self.ofNumbers.contains(where: text.hasPrefix) {
            self = .number
        } else {
            return nil
        }
    }

    private static func isOfCommand(_ text: String, _ name: String) -> Bool {
        if text.hasPrefix("WRONGTYPE") {
            // (Of a FIELDEXPIRE by its script.)
            return ofAnyType.contains(name) || text.hasPrefix("WRONGTYPE FIELDEXPIRE")
        }
        return text.hasPrefix("ERR resulting score is not a number")
    }

    private static let ofAnyType: Set<String> = ["ZPOPMIN", "ZPOPMAX", "XSETID"]

    private static let ofNumbers = [
        "ERR value is not an integer", "ERR value is out of range", "ERR value is not a valid float",
        "ERR hash value is not", "ERR bit offset is not an integer", "ERR bit is not an integer",
        "ERR Invalid stream ID",
    ]

    var reason: String {
        switch self {
        case .command: "the source journals such a command even when it refuses it itself"
        case .number:
            "the source took it: it has another value there, or takes numbers and stream ids that no Redis does"
        }
    }
}
