import Foundation
import Lab
import Link
import Testing

@testable import Replication

@Suite struct `The checkpoint file` {
    private let folder: TemporaryFolder
    private let file: CheckpointFile

    init() throws {
        folder = try TemporaryFolder("checkpoint")
        file = CheckpointFile(path: folder.file("task.json"), task: "task")
    }

    private var record: CheckpointRecord {
        var record = CheckpointRecord(task: "task")
        record.targetRunID = "run"
        record.replicationID = "master"
        record.nextLSNs = [1, .max, 1 << 40]
        record.isExact = true
        record.databases = [0, 3]
        return record
    }

    private func contents(_ bytes: [UInt8]) throws -> CheckpointFile.Contents {
        try Data(bytes).write(to: URL(fileURLWithPath: file.path))
        return try file.read()
    }

    @Test func `is read as it was written, and is valid JSON`() throws {
        #expect(try file.read() == .missing)
        try file.write(record)
        #expect(try file.read() == .record(record))
        let bytes = try Data(contentsOf: URL(fileURLWithPath: file.path))
        let object = try #require(try JSONSerialization.jsonObject(with: bytes) as? [String: Any])
        let inner = try #require(object["record"] as? [String: Any])
        #expect((inner["nextLSNs"] as? [NSNumber])?.first == 1)
        try file.remove()
        try file.remove()
        #expect(try file.read() == .missing)
    }

    @Test func `is rejected as damaged if it is truncated anywhere`() throws {
        try file.write(record)
        let whole = Array(try Data(contentsOf: URL(fileURLWithPath: file.path)))
        for length in 0..<whole.count {
            guard case .damaged = try contents(Array(whole[..<length])) else {
                Issue.record("cut at \(length)")
                continue
            }
        }
    }

    @Test func `is rejected if any byte is changed`() throws {
        try file.write(record)
        let whole = Array(try Data(contentsOf: URL(fileURLWithPath: file.path)))
        for place in whole.indices {
            var changed = whole
            changed[place] ^= 1
            switch try contents(changed) {
            case .damaged, .foreign: break
            case .record, .missing: Issue.record("changed at \(place)")
            }
        }
    }

    @Test(arguments: [
        "{\"replId\":\"x\"}\n", "not JSON", "{\"df2redis-checkpoint\":2,\"crc64\":\"0\",\"record\":{}}\n",
    ]) func `is reported as foreign, not as damaged, if another program wrote it`(_ text: String) throws {
        guard case .foreign = try contents(Array(text.utf8)) else {
            Issue.record("\(text) is foreign")
            return
        }
    }

    @Test func `is rejected if it belongs to another task`() throws {
        try CheckpointFile(path: file.path, task: "other").write(CheckpointRecord(task: "other"))
        #expect(try file.read() == .foreign("it is the checkpoint of the task \"other\""))
    }

    @Test func `stays unchanged on a full disk`() throws {
        try file.write(record)
        try FileManager.default.createSymbolicLink(atPath: file.path + ".new", withDestinationPath: "/dev/full")
        var later = record
        later.nextLSNs = [7]
        let error = #expect(throws: SystemError.self) { try file.write(later) }
        #expect(error?.errno == ENOSPC)
        #expect(try file.read() == .record(record))
        try file.write(later)
        #expect(try file.read() == .record(later))
    }
}
