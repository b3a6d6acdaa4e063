import Servers
import Wire

/// Compares a value piece by piece, so that neither side's value is completely in memory.
///
/// Unordered elements are read from the source and looked up at the target. If both sides have the same number of elements
/// and the target has all of the source's, the values are equal.
struct LargeValue {
    private static let elements = 512
    private static let bytes = 1 << 20

    let type: String
    let key: [UInt8]
    let source: ServerConnection
    let target: ServerConnection
    private(set) var digest = KeyDigest()

    init(type: String, key: [UInt8], source: ServerConnection, target: ServerConnection) {
        (self.type, self.key, self.source, self.target) = (type, key, source, target)
    }

    mutating func compare() async throws(ServerError) -> ValueVerdict {
        guard let question = FirstPiece.lengthQuestion(type, key) else { return .equal }
        guard let (left, right) = try await both(question) else { return .hasChanged }
        let length = left.int ?? 0
        guard left == right else { return .differs(.length, source: "\(length)", target: "\(right.int ?? 0)") }
        switch type {
        case "string": return try await compareBytes(length)
        case "list": return try await compareElements(length)
        case "hash": return try await compareScan("HSCAN", lookup: "HMGET", width: 2)
        case "zset": return try await compareScan("ZSCAN", lookup: "ZMSCORE", width: 2)
        case "set": return try await compareScan("SSCAN", lookup: "SMISMEMBER", width: 1)
        case "stream": return try await compareStream()
        default: return .equal
        }
    }

    /// The answers of both sides to one command; `nil` when the key is no longer what it was.
    private mutating func both(
        _ command: Command
    ) async throws(ServerError) -> (source: RESPValue, target: RESPValue)? {
        guard let (left, right) = try await requestBoth([command], source, target) else { return nil }
        digest.add(left[0])
        digest.add(right[0])
        return (left[0], right[0])
    }

    private mutating func compareBytes(_ length: Int64) async throws(ServerError) -> ValueVerdict {
        for start in stride(from: 0, to: length, by: Self.bytes) {
            let piece = command("GETRANGE", key, start, start + Int64(Self.bytes) - 1)
            guard let (left, right) = try await both(piece) else { return .hasChanged }
            let isEqual = start == 0 ? StringPiece.areEqual(left, right) : left == right
            guard isEqual else { return .differs(.value) }
        }
        return .equal
    }

    private mutating func compareElements(_ length: Int64) async throws(ServerError) -> ValueVerdict {
        for start in stride(from: 0, to: length, by: Self.elements) {
            let piece = command("LRANGE", key, start, start + Int64(Self.elements) - 1)
            guard let (left, right) = try await both(piece) else { return .hasChanged }
            guard left == right else { return .differs(.value) }
        }
        return .equal
    }

    private mutating func compareScan(
        _ scan: String, lookup: String, width: Int
    ) async throws(ServerError) -> ValueVerdict {
        var cursor = "0"
        repeat {
            let page = command(scan, key, cursor, "COUNT", Self.elements)
            let reply = try await source.requests([page])[0]
            if try isChange(reply, of: page, on: source) { return .hasChanged }
            guard let parts = reply.array, parts.count == 2, let next = parts[0].text, let elements = parts[1].array
            else { throw source.violation(scan) }
            cursor = next
            guard !elements.isEmpty else { continue }
            let names = stride(from: 0, through: elements.count - width, by: width).map { elements[$0].bytes ?? [] }
            let question = command(lookup, key) + names
            let found = try await target.requests([question])[0]
            if try isChange(found, of: question, on: target) { return .hasChanged }
            digest.add(parts[1])
            digest.add(found)
            guard let found = found.array, found.count == names.count else { throw target.violation(lookup) }
            for (place, value) in found.enumerated() {
                let isEqual =
                    switch type {
                    case "set": value.int == 1
                    case "zset": Score.isEqual(elements[place * 2 + 1], value)
                    default: elements[place * 2 + 1] == value
                    }
                guard isEqual else { return .differs(.value) }
            }
        } while cursor != "0"
        return .equal
    }

    // MARK: Streams

    private mutating func compareStream() async throws(ServerError) -> ValueVerdict {
        guard let info = try await both(command("XINFO", "STREAM", key)) else { return .hasChanged }
        let lastIDs = [info.source, info.target].map { $0["last-generated-id"]?.text ?? "" }
        guard lastIDs[0] == lastIDs[1] else { return .differs(.value, source: lastIDs[0], target: lastIDs[1]) }
        var start = "-"
        while true {
            guard let (left, right) = try await both(command("XRANGE", key, start, "+", "COUNT", Self.elements)) else {
                return .hasChanged
            }
            guard left == right else { return .differs(.value) }
            guard let entries = left.array, entries.count == Self.elements,
                let last = entries.last?.array?.first?.text, let next = Self.successor(of: last)
            else { break }
            start = next
        }
        return try await compareGroups()
    }

    private mutating func compareGroups() async throws(ServerError) -> ValueVerdict {
        guard let groups = try await both(command("XINFO", "GROUPS", key)) else { return .hasChanged }
        let (left, right) = (Self.positions(groups.source), Self.positions(groups.target))
        guard left == right else {
            return .differs(.groups, source: Self.text(left), target: Self.text(right))
        }
        for name in left.keys.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
            // XPENDING returns the number of pending entries, the first and the last of them, and their number for each
            // consumer.
            guard let pending = try await both(command("XPENDING", key, name)) else { return .hasChanged }
            let (left, right) = (PendingEntries(pending.source), PendingEntries(pending.target))
            guard left == right else {
                return .differs(.groups, source: "\(left.count) pending", target: "\(right.count) pending")
            }
        }
        return .equal
    }

    /// The last ID that each group has delivered and the number of its consumers. Consumers without pending entries are
    /// counted only here.
    private static func positions(_ reply: RESPValue) -> [[UInt8]: String] {
        var positions: [[UInt8]: String] = [:]
        for group in reply.array ?? [] {
            guard let name = group["name"]?.bytes else { continue }
            let id = group["last-delivered-id"]?.text ?? ""
            positions[name] = "\(id), \(group["consumers"]?.int ?? 0) consumers"
        }
        return positions
    }

    private static func text(_ positions: [[UInt8]: String]) -> String {
        positions.map { "\(String(decoding: $0.key, as: UTF8.self)) at \($0.value)" }.sorted().joined(separator: ", ")
    }

    /// The smallest ID after `id`.
    private static func successor(of id: String) -> String? {
        let parts = id.split(separator: "-").map { UInt64($0) }
        guard parts.count == 2, let milliseconds = parts[0], let sequence = parts[1] else { return nil }
        return sequence == .max ? "\(milliseconds + 1)-0" : "\(milliseconds)-\(sequence + 1)"
    }
}

/// A reply to XPENDING. Servers differ in how they encode that nothing is pending, and the consumers' counts.
private struct PendingEntries: Equatable {
    var count: Int64 = 0
    var first: String?
    var last: String?
    var consumers: [[UInt8]: Int64] = [:]

    init(_ reply: RESPValue) {
        guard let parts = reply.array, parts.count == 4, let count = parts[0].int, count > 0 else { return }
        self.count = count
        (first, last) = (parts[1].text, parts[2].text)
        for consumer in parts[3].array ?? [] {
            guard let pair = consumer.array, pair.count == 2, let name = pair[0].bytes else { continue }
            consumers[name] = pair[1].int
        }
    }
}

/// Sends the same commands to both sides at the same time.
///
/// - Returns: `nil` if an answer says that a key has changed meanwhile.
func requestBoth(
    _ commands: [Command], _ source: ServerConnection, _ target: ServerConnection
) async throws(ServerError) -> (source: [RESPValue], target: [RESPValue])? {
    let (left, right) = try await answersOfBoth(commands, commands, source, target)
    for (place, command) in commands.enumerated() {
        if try isChange(left[place], of: command, on: source) { return nil }
        if try isChange(right[place], of: command, on: target) { return nil }
    }
    return (left, right)
}

/// Sends each side its commands at the same time. Error replies are returned as values.
func answersOfBoth(
    _ toSource: [Command], _ toTarget: [Command], _ source: ServerConnection, _ target: ServerConnection
) async throws(ServerError) -> (source: [RESPValue], target: [RESPValue]) {
    async let left = Result.catching { () async throws(ServerError) in try await source.requests(toSource) }
    let right = await Result.catching { () async throws(ServerError) in try await target.requests(toTarget) }
    return (try await left.get(), try right.get())
}

/// Whether an error reply says that the key has changed since its type was read.
///
/// - Throws: any other error reply.
func isChange(
    _ reply: RESPValue, of command: Command, on server: ServerConnection
) throws(ServerError) -> Bool {
    guard case .error(let text) = reply else { return false }
    if text.hasPrefix("WRONGTYPE") || text.hasPrefix("ERR no such key") || text.hasPrefix("NOGROUP") { return true }
    throw server.refusal(text, of: command)
}

extension Result {
    static func catching(_ body: () async throws(Failure) -> Success) async -> Result {
        do throws(Failure) { return .success(try await body()) } catch { return .failure(error) }
    }
}
