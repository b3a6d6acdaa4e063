import Foundation
import Wire

/// Reads keys of a server's selected database in batches, with as few round trips as their types allow.
package struct DataReader {
    private let client: RESPClient

    package init(_ client: RESPClient) { self.client = client }

    /// The number of keys by database, from INFO keyspace.
    private func keyCounts() throws -> [UInt32: Int] {
        ServerInfo(try client.command("INFO", "KEYSPACE").text).keyCounts
    }

    /// The databases that hold keys.
    package func databases() throws -> [Int] { try keyCounts().keys.map(Int.init).sorted() }

    /// The number of keys in all databases.
    package func keyCount() throws -> Int { try keyCounts().values.reduce(0, +) }

    package func select(_ database: Int) throws { try client.command("SELECT", "\(database)") }

    /// Calls `body` with the keys of the selected database in batches; a key may come more than once.
    package func scan(_ body: ([[UInt8]]) throws -> Void) throws {
        var cursor = "0"
        repeat {
            let reply = try client.command("SCAN", cursor, "COUNT", "500")
            guard let parts = reply.array, parts.count == 2, let next = parts[0].text, let keys = parts[1].array
            else { throw LabError("SCAN answered \(reply)") }
            cursor = next
            if !keys.isEmpty { try body(keys.compactMap(\.bytes)) }
        } while cursor != "0"
    }

    /// Returns the entries of `keys`, `nil` for those that do not exist.
    package func read(_ keys: [[UInt8]]) throws -> [ServerData.Entry?] {
        let heads = try client.pipeline(keys.flatMap { [[Self.bytes("TYPE"), $0], [Self.bytes("PEXPIRETIME"), $0]] })
        for case .error(let text) in heads { throw LabError("reading keys: \(text)") }
        let types = keys.indices.map { heads[2 * $0].text ?? "" }
        let questions = zip(types, keys).map { Self.question(type: $0, key: $1) }
        var answers = try client.pipeline(questions.compactMap(\.self))[...]
        return try keys.indices.map { index in
            let answer = questions[index] == nil ? nil : answers.popFirst()
            let type = types[index]
            if type == "none" { return nil }
            if case .error(let text) = answer, type != "string" {
                throw LabError("reading the \(type) \(DataNode.bytes(keys[index]).excerpt): \(text)")
            }
            let value = try type == "stream" ? stream(keys[index], answer) : Self.node(type: type, answer)
            return ServerData.Entry(
                type: type, value: value, expireAtMilliseconds: heads[2 * index + 1].int.map { Int($0) } ?? -1)
        }
    }

    private static func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    private static func question(type: String, key: [UInt8]) -> [[UInt8]]? {
        switch type {
        case "string": [bytes("GET"), key]
        case "list": [bytes("LRANGE"), key, bytes("0"), bytes("-1")]
        case "set": [bytes("SMEMBERS"), key]
        case "hash": [bytes("HGETALL"), key]
        case "zset": [bytes("ZRANGE"), key, bytes("0"), bytes("-1"), bytes("WITHSCORES")]
        case "stream": [bytes("XRANGE"), key, bytes("-"), bytes("+")]
        case "ReJSON-RL": [bytes("JSON.GET"), key]
        default: nil
        }
    }

    private static func node(type: String, _ answer: RESPValue?) throws -> DataNode {
        guard let answer else { return .null }
        let parts = (answer.array ?? []).map { $0.bytes ?? [] }
        switch type {
        case "list": return .array(parts.map { .bytes($0) })
        case "set": return .array(parts.sorted { $0.lexicographicallyPrecedes($1) }.map { .bytes($0) })
        case "hash":
            return .object(
                unordered: stride(from: 0, to: parts.count - 1, by: 2).map {
                    DataNode.Field(name: parts[$0], value: .bytes(parts[$0 + 1]))
                })
        case "zset":
            return .array(
                try stride(from: 0, to: parts.count - 1, by: 2).map { index in
                    let text = String(decoding: parts[index + 1], as: UTF8.self)
                    guard let score = Double(text) else { throw LabError("a score that is no number: \(text)") }
                    return .array([.bytes(parts[index]), .text(pythonRepresentation(score))])
                })
        default:
            if case .error(let text) = answer { return .text("error: \(text)") }
            return answer.bytes.map { .bytes($0) } ?? .null
        }
    }

    // MARK: Streams

    private func stream(_ key: [UInt8], _ entries: RESPValue?) throws -> DataNode {
        let replies = try client.pipeline([
            [Self.bytes("XINFO"), Self.bytes("STREAM"), key], [Self.bytes("XINFO"), Self.bytes("GROUPS"), key],
        ])
        return .object([
            .init(
                name: Self.bytes("entries"),
                value: .array((entries?.array ?? []).map { entry in .array((entry.array ?? []).map(Self.plain)) })
            ),
            .init(
                name: Self.bytes("groups"), value: .array(try (replies[1].array ?? []).map { try group(key, $0) })),
            .init(name: Self.bytes("last_id"), value: Self.plain(Self.field("last-generated-id", of: replies[0]))),
        ])
    }

    private func group(_ key: [UInt8], _ information: RESPValue) throws -> DataNode {
        let name = Self.field("name", of: information).bytes ?? []
        let replies = try client.pipeline([
            [Self.bytes("XPENDING"), key, name, Self.bytes("-"), Self.bytes("+"), Self.bytes("100000")],
            [Self.bytes("XINFO"), Self.bytes("CONSUMERS"), key, name],
        ])
        // A pending entry is id, consumer, idle time, times delivered. The idle time changes all the time and is left out.
        let pending = (replies[0].array ?? []).map { entry -> DataNode in
            let parts = entry.array ?? []
            return .array([0, 1, 3].map { $0 < parts.count ? Self.plain(parts[$0]) : .null })
        }
        let consumers = (replies[1].array ?? []).map { Self.field("name", of: $0).bytes ?? [] }
        return .object([
            .init(
                name: Self.bytes("consumers"),
                value: .array(consumers.sorted { $0.lexicographicallyPrecedes($1) }.map { .bytes($0) })),
            .init(name: Self.bytes("last_id"), value: Self.plain(Self.field("last-delivered-id", of: information))),
            .init(name: Self.bytes("name"), value: .bytes(name)),
            .init(name: Self.bytes("pending"), value: .array(pending)),
        ])
    }

    /// The value after `name` in a flat array of names and values.
    private static func field(_ name: String, of reply: RESPValue) -> RESPValue {
        let parts = reply.array ?? []
        let index = stride(from: 0, to: parts.count - 1, by: 2).first { parts[$0].text == name }
        return index.map { parts[$0 + 1] } ?? .bulk(nil)
    }

    private static func plain(_ reply: RESPValue) -> DataNode {
        if let bytes = reply.bytes { return .bytes(bytes) }
        if case .integer(let value) = reply { return .integer(Int(value)) }
        return reply.array.map { .array($0.map(plain)) } ?? .null
    }
}
