import Dragonfly
import Foundation
import Link
import Logging
import Redis
import Testing
import Wire

@testable import Replication

/// A flow's encoder with a context of its own, driven event by event.
final class EncoderScene {
    static let now: Int64 = 1_800_000_000_000

    let encoder: FlowEncoder
    let context: FlowContext
    let profile: TargetProfile
    let incidents: IncidentLog
    private let path = NSTemporaryDirectory() + "df2redis-encoder-\(UUID().uuidString).jsonl"

    init(
        profile: TargetProfile = TargetProfile(flavor: .redis, version: .init(7, 0, 15)), protocolVersion: Int = 5,
        policy change: (inout ReplicationPolicy) -> Void = { $0.onUnsupported = .skip },
        maxFileBytes: Int = 64 << 20, context changeContext: (inout FlowContext) -> Void = { _ in },
        start changeStart: (inout FlowStart) -> Void = { _ in }
    ) {
        var policy = ReplicationPolicy()
        change(&policy)
        let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        let target = TargetSettings(endpoint: Endpoint(host: "127.0.0.1", port: 1), clientName: "test")
        incidents = IncidentLog(logger: logger, path: path, maxFileBytes: maxFileBytes)
        var context = FlowContext(
            task: "test", policy: policy,
            session: .init(replicationID: "id", syncID: "SYNC1", flowCount: 1, protocolVersion: protocolVersion),
            targetDatabases: 16, connector: TargetConnector(settings: target), incidents: incidents, logger: logger,
            allProgress: [FlowProgress()], retry: RetryPolicy())
        changeContext(&context)
        self.context = context
        self.profile = profile
        encoder = FlowEncoder.begun(context, profile, start: changeStart)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func string(_ key: String, value: [UInt8] = Array("v".utf8), database: UInt32 = 0, expiry: Int64? = nil) {
        encoder.stringEntry(
            EntryHead(database: database, expiryMilliseconds: expiry, type: .string), key: Array(key.utf8).span.bytes,
            value: value.span.bytes)
    }

    func entry(_ type: RDBType, _ key: String, body: [UInt8]) {
        encoder.entry(
            EntryHead(database: 0, expiryMilliseconds: nil, type: type), key: Array(key.utf8).span.bytes,
            body: body.span.bytes)
    }

    func journal(_ arguments: [[UInt8]], inSnapshot: Bool = true, database: UInt32 = 0) throws {
        var buffer = ByteBuffer()
        buffer.append(journalCommand: arguments)
        var reader = ByteReader(buffer.bytes)
        guard case .command(let command)? = try reader.readJournalRecord(maxPayloadBytes: 1 << 20) else { return }
        encoder.command(command, database: database, inSnapshot: inSnapshot)
    }

    func journal(_ line: String, inSnapshot: Bool = true, database: UInt32 = 0) throws {
        try journal(line.split(separator: " ").map { Array($0.utf8) }, inSnapshot: inSnapshot, database: database)
    }

    /// Ends the snapshot, so that a journal follows.
    func becomeStable() {
        encoder.snapshotCompleted()
        encoder.journalOffset(1)
        encoder.stableStreamBegan()
    }

    func lines() throws -> [String] { try encoder.lines() }

    /// The beginning of the script for a SORT or GEORADIUS that reads `src`.
    let storing = "EVAL if redis.call('EXISTS',KEYS[1])==1 then redis.call(unpack(ARGV)) end 1 src"

    /// The commands as the target gets them.
    func wireLines() throws -> [String] { try encoder.batch.wireLines() }

    /// The kind and the key of each line in the dead-letter file.
    var letters: [String] {
        let contents = FileManager.default.contents(atPath: path) ?? Data()
        return String(decoding: contents, as: UTF8.self).split(separator: "\n").compactMap { line in
            let fields = (try? JSONSerialization.jsonObject(with: Data(line.utf8))) as? [String: Any]
            return fields.map { "\($0["kind"] ?? "") \($0["key"] ?? "")" }
        }
    }

    var failure: ReplicationError? {
        if case .failure(let error)? = encoder.halt { error } else { nil }
    }
}

extension FlowEncoder {
    /// The encoder of flow 0 at its beginning, by default in a full sync.
    static func begun(
        _ context: FlowContext, _ profile: TargetProfile, start change: (inout FlowStart) -> Void = { _ in }
    ) -> FlowEncoder {
        var start = FlowStart(mode: .full(token: Array("token".utf8)))
        change(&start)
        do {
            let encoder = try FlowEncoder(flow: FlowID(0), start: start, context: context, profile: profile)
            encoder.setArrival(newest: EncoderScene.now, oldest: EncoderScene.now)
            return encoder
        } catch {
            fatalError("the files of a test's flow cannot be made: \(error)")
        }
    }

    /// The batch's commands, each as its words joined by spaces; each string of a run is a command.
    func lines() throws -> [String] {
        try batch.isInCommand ? batch.wireLines() : batch.inSingleCommands().wireLines()
    }
}

extension CommandBatch {
    /// The commands without MULTI, each as its words joined by spaces.
    func wireLines() throws -> [String] {
        let bytes = bytes.withUnsafeBytes { Array($0) }
        var reader = ByteReader(bytes.span.bytes)
        var lines: [String] = []
        while let value = try reader.readRESPValue() {
            lines.append((value.array ?? []).map { $0.text ?? "?" }.joined(separator: " "))
        }
        return lines.filter { $0 != "MULTI" }
    }
}
