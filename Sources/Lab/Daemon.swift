import Foundation

/// df2redis itself, as an operator starts it: the built binary with a config file, its log and its status file.
package final class Daemon {
    package enum Command: String, Sendable {
        case replicate, migrate
    }

    /// The contents of the config file.
    package struct Configuration: Sendable {
        package var source: UInt16
        /// The target's port; `nil` if `sections` give the target's address.
        package var target: UInt16?
        /// Top-level sections by name, each a block of YAML lines without their indentation.
        package var sections: [String: [String]]

        package init(source: UInt16, target: UInt16?, sections: [String: [String]] = [:]) {
            (self.source, self.target, self.sections) = (source, target, sections)
        }

        /// Returns a copy with `changes`: a line replaces the one with the same key, and follows the other lines of its
        /// section.
        package func with(_ changes: [String: [String]]) -> Configuration {
            func key(_ line: String) -> Substring { line.prefix { $0 != ":" } }
            var result = self
            result.sections.merge(changes) { lines, changed in
                let keys = Set(changed.map(key))
                return lines.filter { !keys.contains(key($0)) } + changed
            }
            return result
        }

        func yaml(stateDirectory: String) -> String {
            var sections = sections
            sections["source", default: []].insert("addr: 127.0.0.1:\(source)", at: 0)
            if let target { sections["target", default: []].insert("addr: 127.0.0.1:\(target)", at: 0) }
            // The dashboard is off unless a test configures it.
            if sections["dashboard"] == nil { sections["dashboard"] = ["addr: \"\""] }
            let blocks = sections.sorted { $0.key < $1.key }.map { name, lines in
                ([name + ":"] + lines.map { "  " + $0 }).joined(separator: "\n")
            }
            let head = "stateDir: \(stateDirectory)\nstatusFile: \(stateDirectory)/\(Daemon.statusFile)\n"
            return head + blocks.joined(separator: "\n") + "\n"
        }
    }

    package static let taskName = "lab"
    fileprivate static let statusFile = "status.json"

    package let process: ChildProcess
    package let folder: TemporaryFolder
    package let task: String
    /// The number of bytes that earlier processes have logged in the same folder.
    private let logStart: Int

    /// Starts the daemon.
    ///
    /// - Parameter folder: the folder for config, state and log; the folder of an earlier daemon to continue from its state.
    /// - Parameter store: keeps the daemon's sockets, and hands over those of an earlier daemon.
    package init(
        _ command: Command = .replicate, _ configuration: Configuration, folder: TemporaryFolder? = nil,
        task: String = Daemon.taskName, environment: [String: String] = [:], store: DescriptorStore? = nil
    ) throws {
        let folder = try folder ?? TemporaryFolder("daemon")
        try FileManager.default.createDirectory(
            atPath: folder.file("state"), withIntermediateDirectories: true)
        let path = try folder.write(
            configuration.yaml(stateDirectory: folder.file("state")), to: "\(task).yaml")
        let logPath = folder.file("log")
        logStart = FileManager.default.contents(atPath: logPath)?.count ?? 0
        let handover = store?.handover ?? (descriptors: [], environment: [:])
        var words = [BuiltProgram.daemon.path, command.rawValue, "--config", path, "--task-name", task]
        // LISTEN_PID must be the id of the process that gets the descriptors, which only that process knows.
        if store != nil { words = ["/bin/sh", "-c", "LISTEN_PID=$$ exec \"$0\" \"$@\""] + words }
        process = try ChildProcess(
            words[0], Array(words.dropFirst()), output: folder.file("output"), error: logPath,
            environment: ["RUNTIME_DIRECTORY": folder.file("run")].merging(environment) { $1 }
                .merging(handover.environment) { $1 },
            descriptors: handover.descriptors)
        self.folder = folder
        self.task = task
    }

    /// What this process has logged so far.
    package var log: String { String(decoding: contents(of: process.errorPath).dropFirst(logStart), as: UTF8.self) }

    /// The log of this process and of earlier processes in the same folder.
    package var logOfAllProcesses: String { process.errorOutput }

    private func contents(of path: String) -> Data { FileManager.default.contents(atPath: path) ?? Data() }

    /// How often the log of this process contains `text` so far.
    package func count(of text: String) -> Int { log.components(separatedBy: text).count - 1 }

    /// The status file's contents; `nil` while there is none.
    package var status: [String: Any]? {
        FileManager.default.contents(atPath: folder.file("state/\(Self.statusFile)"))
            .flatMap { try? JSONSerialization.jsonObject(with: $0) as? [String: Any] }
    }

    /// The port of the task's page, the dashboard.
    ///
    /// - Throws: `LabError` when the log does not name it in time.
    package func pagePort() throws -> UInt16 {
        try wait(forLine: "the task's page is http://")
        let digits = log.components(separatedBy: "the task's page is http://127.0.0.1:").last?.prefix { $0.isNumber }
        guard let port = digits.flatMap({ UInt16($0) }) else { throw LabError("no port of the page in the log") }
        return port
    }

    /// The path of the daemon's control socket.
    package var controlSocket: String { folder.file("run/\(task)/control.sock") }

    /// Waits for a line of the log that contains `text`.
    ///
    /// - Throws: `LabError` with the end of the log if there is no such line within `timeout`, or the process ends
    /// without it.
    package func wait(forLine text: String, timeout: Duration = .seconds(60)) throws {
        let deadline = ContinuousClock.now + timeout
        while true {
            let hasEnded = !process.isRunning
            if log.contains(text) { return }
            if hasEnded || ContinuousClock.now >= deadline {
                throw LabError(
                    "df2redis logged no line with '\(text)'; its last lines:\n\(process.outputTail(lines: 30))")
            }
            blockThread(for: .milliseconds(10))
        }
    }

    /// Whether a line of the log contains `text`. If the daemon runs, this waits up to 20 seconds, because the effect
    /// of an action may be visible before its log line.
    package func logs(_ text: String) -> Bool { (try? wait(forLine: text, timeout: .seconds(20))) != nil }

    /// Waits for the end.
    ///
    /// - Throws: `LabError` with the end of the log if the process does not end with exit code `code`.
    package func expectExit(_ code: Int32 = 0, timeout: Duration = .seconds(60)) throws {
        let end = try process.waitForEnd(timeout: timeout)
        if end != .exited(code) {
            throw LabError("df2redis ended with \(end), not exit code \(code):\n\(process.outputTail(lines: 30))")
        }
    }

    /// Runs another command of the program with the task's configuration.
    ///
    /// - Returns: its exit code, and what it has printed.
    package func run(_ command: String, _ options: String...) throws -> (code: Int32, output: String) {
        let (output, errors) = (folder.file("output of \(command)"), folder.file("errors of \(command)"))
        // Removes the output of an earlier call.
        for path in [output, errors] { unlink(path) }
        let process = try ChildProcess(
            BuiltProgram.daemon.path, [command, "--config", folder.file("\(task).yaml")] + options, output: output,
            error: errors)
        guard case .exited(let code) = try process.waitForEnd(timeout: .seconds(120)) else {
            throw LabError("\(command) was killed:\n\(process.outputTail())")
        }
        return (code, process.output + process.errorOutput)
    }

    /// Starts another command of the program, which finds the task by its socket.
    ///
    /// - Parameters:
    ///   - arguments: the whole command line, such as `["status", "lab"]`.
    ///   - wrapper: a program that starts the command, with its options.
    ///   - runtimeDirectory: where it looks for the tasks' sockets instead.
    package func start(
        _ arguments: [String], through wrapper: [String] = [], runtimeDirectory: String? = nil
    ) throws -> ChildProcess {
        let words = wrapper + [BuiltProgram.daemon.path] + arguments
        let files = folder.file("command.\(UUID().uuidString)")
        return try ChildProcess(
            words[0], Array(words.dropFirst()), output: files + ".output", error: files + ".errors",
            environment: ["RUNTIME_DIRECTORY": runtimeDirectory ?? folder.file("run")])
    }

    /// Sends SIGTERM and waits for exit code 0, which means that the daemon has left in order.
    package func leave(timeout: Duration = .seconds(30)) throws {
        process.signal(SIGTERM)
        try expectExit(0, timeout: timeout)
    }
}

/// What a line of the dead-letter file is about.
package struct DeadLetter: Hashable, Sendable {
    package var kind: String
    package var database: Int
    /// The key itself; the laboratory's keys are printable.
    package var key: String

    package init(kind: String, database: Int, key: String) {
        (self.kind, self.database, self.key) = (kind, database, key)
    }
}

extension Daemon {
    /// The dead letters so far.
    package var deadLetters: [DeadLetter] {
        let lines = contents(of: folder.file("state/\(Self.taskName).dead-letters.jsonl"))
        return String(decoding: lines, as: UTF8.self).split(separator: "\n").compactMap { line in
            guard let fields = try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any],
                let kind = fields["kind"] as? String, let database = fields["database"] as? Int,
                let key = fields["key"] as? String
            else { return nil }
            return DeadLetter(kind: kind, database: database, key: String(key.dropFirst().dropLast()))
        }
    }
}
