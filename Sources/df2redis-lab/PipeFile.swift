import Foundation
import Lab
import Wire

/// The same data as a file of plain commands, and how long `redis-cli --pipe` needs for it: what the target can take.
enum PipeFile {
    /// Writes the commands that make what database 0 of `redis` holds: a SET or one write command a key.
    static func write(contentsOf redis: RedisServer, to path: String) throws {
        let client = try redis.client()
        let reader = DataReader(client)
        guard FileManager.default.createFile(atPath: path, contents: nil), let file = FileHandle(forWritingAtPath: path)
        else { throw LabError("cannot write \(path)") }
        defer { try? file.close() }
        var seen = Set<[UInt8]>()
        try reader.scan { batch in
            let keys = batch.filter { seen.insert($0).inserted }
            var buffer = ByteBuffer()
            for (key, entry) in zip(keys, try reader.read(keys)) {
                guard let entry, let command = command(key, entry) else { continue }
                buffer.appendCommandHead(command.count)
                for argument in command { buffer.appendBulk(argument.span.bytes) }
            }
            try buffer.withUnsafeBytes { try file.write(contentsOf: Data($0)) }
        }
    }

    /// Feeds the file to an empty server of its own and answers the seconds it took.
    static func feed(_ path: String, _ folder: TemporaryFolder) throws -> Double {
        let redis = try RedisServer()
        defer { redis.stop() }
        let process = try ChildProcess(
            "redis-cli", ["-p", "\(redis.port)", "--pipe"], input: path, output: folder.file("pipe"))
        guard try process.waitForEnd(timeout: .seconds(300)) == .exited(0) else {
            throw LabError("redis-cli --pipe:\n\(process.outputTail())")
        }
        return process.wallTime.seconds
    }

    private static func command(_ key: [UInt8], _ entry: ServerData.Entry) -> [[UInt8]]? {
        let name: [String: String] = ["string": "SET", "list": "RPUSH", "set": "SADD", "hash": "HSET", "zset": "ZADD"]
        guard let verb = name[entry.type] else { return nil }
        let head = [Array(verb.utf8), key]
        switch entry.value {
        case .bytes(let bytes): return head + [bytes]
        case .array(let elements):
            return head
                + elements.flatMap { element -> [[UInt8]] in
                    switch element {
                    case .bytes(let bytes): [bytes]
                    // A sorted set's pair of member and score: ZADD wants the score first.
                    case .array(let pair):
                        pair.reversed().compactMap { if case .bytes(let bytes) = $0 { bytes } else { nil } }
                    default: []
                    }
                }
        case .object(let fields):
            return head
                + fields.flatMap { field -> [[UInt8]] in
                    if case .bytes(let value) = field.value { [field.name, value] } else { [] }
                }
        default: return nil
        }
    }
}
