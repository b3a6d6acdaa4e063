import Foundation

/// A real Dragonfly of our own on a free port: the binary that `DRAGONFLY_BIN` names.
package final class DragonflyServer {
    package let port: UInt16
    private let folder: TemporaryFolder
    private let process: ChildProcess

    private static var binary: String? {
        ProcessInfo.processInfo.environment["DRAGONFLY_BIN"].flatMap { $0.isEmpty ? nil : $0 }
    }

    /// Whether there is a real Dragonfly to test with.
    package static var isAvailable: Bool { binary != nil }

    /// Starts a master of `shards` shards and waits until it answers.
    package init(shards: Int = 2, flags: [String] = []) throws {
        guard let binary = Self.binary else { throw LabError("DRAGONFLY_BIN names no binary") }
        let folder = try TemporaryFolder("dragonfly")
        (port, process) = try withFreePort { port in
            let arguments = [
                "--port", "\(port)", "--bind", "127.0.0.1", "--proactor_threads", "\(shards)", "--dbfilename=",
                "--logtostderr", "--version_check=false", "--maxmemory", "2G", "--dir", folder.path,
            ]
            let process = try ChildProcess(binary, arguments + flags, output: folder.file("dragonfly.log"))
            try waitUntilAnswering(process, port) { try $0.command("PING") }
            return (port, process)
        }
        self.folder = folder
    }

    deinit { process.kill() }

    package var address: String { "127.0.0.1:\(port)" }
    package var pid: Int32 { process.pid }
    /// What the server has logged.
    package var log: String { process.output }

    package func client(timeout: Duration = .seconds(30)) throws -> RESPClient {
        try RESPClient(port: port, timeout: timeout)
    }

    package func stop() { process.terminate() }
    package func kill() { process.kill() }
    package func pause() { process.pause() }
    package func resume() { process.resume() }
}
