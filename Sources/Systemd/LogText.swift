import Glibc
import Logging

/// Formats log records as text.
enum LogText {
    /// `2026-01-02T03:04:05.678Z`, for a time since 1970-01-01T00:00:00Z.
    static func timestamp(_ time: Duration) -> String {
        let (wholeSeconds, attoseconds) = time.components
        var seconds = time_t(wholeSeconds)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        let date = "\(padded(parts.tm_year + 1900, 4))-\(padded(parts.tm_mon + 1, 2))-\(padded(parts.tm_mday, 2))"
        let clock = "\(padded(parts.tm_hour, 2)):\(padded(parts.tm_min, 2)):\(padded(parts.tm_sec, 2))"
        return "\(date)T\(clock).\(padded(Int32(attoseconds / 1_000_000_000_000_000), 3))Z"
    }

    private static func padded(_ number: Int32, _ width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }

    /// The message with its error, as one readable text.
    static func message(of event: LogEvent) -> String {
        guard let error = event.error else { return event.message.description }
        return "\(event.message): \(error)"
    }

    /// `[flow=3 phase=stable] ` with the keys an operator looks for first in front; empty without metadata.
    static func context(_ metadata: Logger.Metadata, without hidden: Set<String> = []) -> String {
        let pairs = ordered(metadata).filter { !hidden.contains($0.key) }
        guard !pairs.isEmpty else { return "" }
        return "[" + pairs.map { "\(printable($0.key))=\(quoted(plain($0.value)))" }.joined(separator: " ") + "] "
    }

    /// The metadata in the order in which it is printed: task, flow, phase, lsn, then the others by name.
    static func ordered(_ metadata: Logger.Metadata) -> [(key: String, value: Logger.MetadataValue)] {
        func rank(_ key: String) -> Int { leading.firstIndex(of: key) ?? leading.count }
        return metadata.sorted { (rank($0.key), $0.key) < (rank($1.key), $1.key) }
            .map { (key: $0.key, value: $0.value) }
    }

    private static let leading = ["task", "flow", "phase", "lsn"]

    /// A metadata value as text: lists as `a, b`, dictionaries as `k=v, l=w` in the order of their keys.
    static func plain(_ value: Logger.MetadataValue) -> String {
        switch value {
        case .string(let text): text
        case .stringConvertible(let item): item.description
        case .array(let items): items.map(plain).joined(separator: ", ")
        case .dictionary(let items): ordered(items).map { "\($0.key)=\(plain($0.value))" }.joined(separator: ", ")
        }
    }

    /// A value as it appears between the brackets: in quotes if its end would be ambiguous otherwise.
    private static func quoted(_ text: String) -> String {
        let blurs = text.isEmpty || text.utf8.contains { " \"=]\\".utf8.contains($0) }
        guard blurs else { return printable(text) }
        let inner = text.map { $0 == "\"" || $0 == "\\" ? "\\\($0)" : String($0) }.joined()
        return "\"\(printable(inner))\""
    }

    /// `text` with control characters written out, so that no key and no peer can break or forge a line.
    ///
    /// - Parameter keepsLines: line breaks stay as they are.
    static func printable(_ text: String, keepsLines: Bool = false) -> String {
        guard text.unicodeScalars.contains(where: isControl) else { return text }
        var line = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\n" where keepsLines: line += "\n"
            case "\n": line += "\\n"
            case "\r": line += "\\r"
            case "\t": line += "\\t"
            case _ where isControl(scalar): line += "\\u{\(String(scalar.value, radix: 16))}"
            default: line.unicodeScalars.append(scalar)
            }
        }
        return line
    }

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
    }
}

/// Merges the metadata of a handler, its provider and an event; the value nearest to the log statement wins.
func merged(_ handler: Logger.Metadata, _ provider: Logger.MetadataProvider?, _ event: LogEvent) -> Logger.Metadata {
    var metadata = handler
    if let provided = provider?.get() { metadata.merge(provided) { _, new in new } }
    if let own = event.metadata { metadata.merge(own) { _, new in new } }
    return metadata
}
