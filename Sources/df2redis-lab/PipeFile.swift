import Foundation
import Lab
import Wire

/// Writes a data set to a file of plain commands, and measures `redis-cli --pipe` with it: the highest throughput of
/// the target.
enum PipeFile {
    /// Writes the commands that create the contents of database 0 of `redis`: one command for a key, or for an entry of
    /// a stream.
    static func write(contentsOf redis: RedisServer, to path: String) throws {
        let client = try redis.client()
        let reader = DataReader(client)
        guard FileManager.default.createFile(atPath: path, contents: nil), let file = FileHandle(forWritingAtPath: path)
        else { throw LabError("cannot write \(path)") }
        defer { try? file.close() }
        var seen = Set<[UInt8]>()
        try reader.scan { batch in
            let keys = batch.filter { !ServerData.isOwn($0) && seen.insert($0).inserted }
            var buffer = ByteBuffer()
            for (key, entry) in zip(keys, try reader.read(keys)) {
                guard let entry else { continue }
                for command in commands(key, entry) {
                    buffer.appendCommandHead(command.count)
                    for argument in command { buffer.appendBulk(argument.span.bytes) }
                }
            }
            try buffer.withUnsafeBytes { try file.write(contentsOf: Data($0)) }
        }
    }

    /// Feeds the file to a new, empty server and returns the seconds that this took.
    ///
    /// - Throws: `LabError` if the server holds fewer than `keyCount` keys afterwards, because the times would not be
    /// comparable.
    static func feed(_ path: String, _ folder: TemporaryFolder, expecting keyCount: Int) throws -> Double {
        let redis = try RedisServer()
        defer { redis.stop() }
        let process = try ChildProcess(
            "redis-cli", ["-p", "\(redis.port)", "--pipe"], input: path, output: folder.file("pipe"))
        guard try process.waitForEnd(timeout: .seconds(300)) == .exited(0) else {
            throw LabError("redis-cli --pipe:\n\(process.outputTail())")
        }
        let count = try DataReader(redis.client()).keyCount()
        guard count >= keyCount else { throw LabError("redis-cli --pipe brought \(count) of \(keyCount) keys") }
        return process.wallTime.seconds
    }

    private static func commands(_ key: [UInt8], _ entry: ServerData.Entry) -> [[[UInt8]]] {
        func command(_ name: String, _ arguments: [[UInt8]]) -> [[[UInt8]]] { [[Array(name.utf8), key] + arguments] }
        switch entry.type {
        case "string": return command("SET", entry.value.strings)
        case "list": return command("RPUSH", entry.value.strings)
        case "set": return command("SADD", entry.value.strings)
        case "hash": return command("HSET", entry.value.strings)
        // A pair is member and score; ZADD wants the score first.
        case "zset": return command("ZADD", entry.value.elements.flatMap { $0.strings.reversed() })
        case "stream": return entry.value["entries"].elements.flatMap { command("XADD", $0.strings) }
        default: return []
        }
    }
}

extension DataNode {
    fileprivate var elements: [DataNode] { if case .array(let elements) = self { elements } else { [] } }

    /// The byte strings of the value, names of fields included, in their order.
    fileprivate var strings: [[UInt8]] {
        switch self {
        case .bytes(let bytes): [bytes]
        case .array(let elements): elements.flatMap(\.strings)
        case .object(let fields): fields.flatMap { [$0.name] + $0.value.strings }
        case .null, .integer: []
        }
    }

    fileprivate subscript(_ name: String) -> DataNode {
        guard case .object(let fields) = self else { return .null }
        return fields.first { $0.name == Array(name.utf8) }?.value ?? .null
    }
}
