import DragonflySimulator
import Foundation
import Lab
import Testing

/// The walk of the README, line by line, with a master, a redis-server and clients that write.
@Suite(.serialized) struct `The walkthrough in the README` {
    private static let heading = "## From the first look to the switch"

    /// The commands of the block below the heading, without their comments.
    private static func lines() throws -> [String] {
        let repository = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let text = try String(contentsOf: repository.appending(path: "README.md"), encoding: .utf8)
        let section = try #require(text.components(separatedBy: heading + "\n").dropFirst().first)
        let block = try #require(section.components(separatedBy: "```sh\n").dropFirst().first)
        let commands = try #require(block.components(separatedBy: "```").first).split(separator: "\n")
        return commands.map { $0.components(separatedBy: " #")[0].trimmingCharacters(in: .whitespaces) }
    }

    @Test func `runs from preflight to cut-over`() throws {
        let master = try startedMaster(.live(nil), shards: 2)
        let redis = try RedisServer()
        defer {
            redis.stop()
            master.stop()
        }
        for number in 0..<500 { master.execute("SET key:\(number) \(number)") }
        let folder = try TemporaryFolder("walk")
        let config = try folder.write(
            """
            source:
              addr: 127.0.0.1:\(master.port)
            target:
              addr: 127.0.0.1:\(redis.port)
            stateDir: \(folder.file("state"))
            """, to: "prod.yaml")
        let lines = try Self.lines()
        #expect(
            lines.map { $0.split(separator: " ").prefix(2).joined(separator: " ") } == [
                "df2redis preflight", "df2redis replicate", "df2redis status", "curl -fsS", "df2redis check",
                "df2redis cutover", "df2redis cutover",
            ])
        var (task, page) = (ChildProcess?.none, "")
        defer { task?.kill() }
        let writers = CountingWriters(port: master.port, clients: 2, patience: .seconds(2))
        for (number, line) in lines.enumerated() {
            let command = line.replacing("/etc/df2redis/prod.yaml", with: config)
                .replacing("http://127.0.0.1:7777", with: page)
            if command.hasPrefix("curl"), !FileManager.default.isExecutableFile(atPath: "/usr/bin/curl") { continue }
            let isBackground = command.hasSuffix("&")
            let words = command.split(separator: " ").map(String.init).filter { $0 != "&" }
            let process = try ChildProcess(
                words[0] == "df2redis" ? BuiltProgram.daemon.path : "/usr/bin/\(words[0])", Array(words.dropFirst()),
                output: folder.file("output.\(number)"), error: folder.file("error.\(number)"),
                environment: ["RUNTIME_DIRECTORY": folder.file("run")])
            if isBackground {
                task = process
                try wait(until: "the task is stable, and its page is open") {
                    process.errorOutput.contains("stable: following") && process.errorOutput.contains("page is http")
                }
                let text = process.errorOutput.components(separatedBy: "the task's page is ").last ?? ""
                page = String(text.prefix { !$0.isWhitespace })
                if page.hasSuffix("/") { page.removeLast() }
            } else {
                #expect(
                    try process.waitForEnd(timeout: .seconds(120)) == .exited(0),
                    "\(line):\n\(process.output)\(process.errorOutput)")
            }
        }
        #expect(try task?.waitForEnd() == .exited(0))
        try wait(until: "the clients have gone") { writers.running == 0 }
        #expect(try writers.missing(at: redis.client()) == [])
        #expect(master.violations.isEmpty)
    }
}
