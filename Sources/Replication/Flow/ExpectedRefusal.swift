/// An error of the target that does not prove that its data differ.
///
/// The source journals some commands whether it accepts them or not, and accepts numbers that Redis does not
/// (Protocol 5.6 rows 20, 21, 24 and 25). The raw value names the refusal in logs, counters and the dead-letter file.
enum ExpectedRefusal: String, CaseIterable {
    /// As far as the journal shows, the source refuses such a command as well.
    case command = "refused-alike"
    /// The source accepted the command: it parses numbers and stream IDs less strictly, takes no notice of further words, or
    /// has another value there.
    case number = "number-format"
    /// A JSON command: the source journals one that it refuses as well, and RedisJSON refuses some that the source takes.
    case json = "json-refused"

    /// - Parameters:
    ///   - name: the name of the command.
    ///   - isStore: whether the command is a SORT or GEORADIUS ... STORE, or a script that runs one.
    init?(_ text: String, of name: String, isStore: Bool) {
        if isStore || Self.isOfCommand(text, name) {
            self = .command
        } else if name.hasPrefix("JSON.") {
            self = .json
        } else if Self.ofNumbers.contains(where: text.hasPrefix) || (name == "XGROUP" && Self.isOfWords(text)) {
            self = .number
        } else {
            return nil
        }
    }

    private static func isOfCommand(_ text: String, _ name: String) -> Bool {
        if text.hasPrefix("WRONGTYPE") {
            // (The script for FIELDEXPIRE has an error text of its own.)
            return ofAnyType.contains(name) || text.hasPrefix("WRONGTYPE FIELDEXPIRE")
        }
        return text.hasPrefix("ERR resulting score is not a number")
    }

    private static let ofAnyType: Set<String> = ["ZPOPMIN", "ZPOPMAX", "XSETID"]

    private static let ofNumbers = [
        "ERR value is not an integer", "ERR value is out of range", "ERR value is not a valid float",
        "ERR hash value is not", "ERR bit offset is not an integer", "ERR bit is not an integer",
        "ERR Invalid stream ID", "ERR value is NaN or Infinity", "ERR increment would produce NaN or Infinity",
    ]

    private static func isOfWords(_ text: String) -> Bool {
        text.hasPrefix("ERR unknown subcommand or wrong number of arguments")
            || text.hasPrefix("ERR wrong number of arguments") || text.hasPrefix("ERR syntax error")
    }

    var reason: String {
        switch self {
        case .command: "the source journals such a command even when it refuses it itself"
        case .json:
            "the source journals such a command even when it refuses it itself, and takes some that RedisJSON does not"
        case .number:
            "the source took it: it has another value there, or takes numbers, stream ids and words that no Redis does"
        }
    }
}
