import Dragonfly
import Foundation
import Lab
import Link
import Logging
import Redis
import Testing

@testable import Replication

@Suite struct `The dead-letter file` {
    @Test func `lists each key once per kind, and no rate limiters`() throws {
        let scene = EncoderScene()
        for number in 1...50 {
            try scene.journal("CL.THROTTLE gate:\(number) 1 2 3")
            try scene.journal("BF.ADD filter:\(number % 2) \(number)")
            try scene.journal("JSON.SET filter:1 $ {}")
        }
        #expect(
            scene.letters == ["bloom-filter \"filter:1\"", "json \"filter:1\"", "bloom-filter \"filter:0\""])
        #expect(scene.incidents.totals == ["throttle": 50, "bloom-filter": 50, "json": 50])
    }

    /// Keeps what is logged.
    private struct Lines: LogHandler {
        let lines = Link.Lock<[String]>([])
        var logLevel = Logger.Level.info
        var metadata: Logger.Metadata = [:]
        subscript(metadataKey _: String) -> Logger.MetadataValue? {
            get { nil }
            set {}
        }
        func log(event: LogEvent) { lines.withLock { $0.append("\(event.message)") } }
    }

    private func incident(_ key: String) -> IncidentLog.Incident {
        .init(
            severity: .missing, kind: .init(Unsupported.json), flow: FlowID(0), database: 0, key: key, reason: "none",
            subject: "JSON")
    }

    @Test(arguments: [
        ("/nowhere/file", "write /nowhere/file: No such file or directory"),
        ("/dev/full", "write /dev/full: No space left on device"),
    ])
    func `causes one error with the right reason if it cannot be written`(_ path: String, _ reason: String) {
        let handler = Lines()
        let log = IncidentLog(logger: Logger(label: "test") { _ in handler }, path: path)
        for key in ["a", "b", "c"] { log.record(incident(key)) }
        let errors = handler.lines.withLock { $0 }.filter { $0.contains("dead-letter file") }
        #expect(errors == ["the dead-letter file cannot be written: \(reason)"])
    }

    @Test(.enabled(if: SmallFileSystem.isPossible, "mounting takes root"))
    func `causes another error if the disk is full again`() throws {
        let folder = try TemporaryFolder("letters")
        let disk = try SmallFileSystem(at: folder.file("small"), bytes: 64 << 10)
        let handler = Lines()
        let log = IncidentLog(logger: Logger(label: "test") { _ in handler }, path: "\(disk.path)/letters")
        let filler = "\(disk.path)/filler"
        log.record(incident("\"first\""))
        for round in 1...2 {
            #expect(FileManager.default.createFile(atPath: filler, contents: nil))
            let file = try #require(FileHandle(forWritingAtPath: filler))
            while (try? file.write(contentsOf: Data(count: 4096))) != nil {}
            try file.close()
            for index in 0..<100 { log.record(incident("\"\(round).\(index)\"")) }
            #expect(handler.lines.withLock { $0 }.count { $0.contains("No space left") } == round)
            try FileManager.default.removeItem(atPath: filler)
            log.record(incident("\"behind \(round)\""))
        }
    }

    @Test(.enabled(if: SmallFileSystem.isPossible, "mounting takes root"))
    func `holds whole lines only, even after a full disk`() throws {
        let folder = try TemporaryFolder("letters")
        let disk = try SmallFileSystem(at: folder.file("small"), bytes: 8 << 10)
        let path = "\(disk.path)/letters"
        let handler = Lines()
        let log = IncidentLog(logger: Logger(label: "test") { _ in handler }, path: path)
        for index in 0..<200 { log.record(incident("\"\(index)\"")) }
        #expect(handler.lines.withLock { $0 }.contains { $0.contains("No space left") })
        let contents = try #require(FileManager.default.contents(atPath: path))
        #expect(contents.count > 4096 && contents.last == UInt8(ascii: "\n"))
    }

    @Test func `is bounded, and the counters are not`() throws {
        let scene = EncoderScene(maxFileBytes: 2000)
        for number in 1...50 { try scene.journal("BF.ADD filter:\(number) x") }
        let count = scene.letters.count
        #expect(5...20 ~= count)
        #expect(scene.letters.last == "bloom-filter \"filter:\(count)\"", "whole lines only")
        #expect(scene.incidents.totals == ["bloom-filter": 50])
    }
}
