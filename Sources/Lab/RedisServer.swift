import Foundation

/// A real `redis-server` (or Valkey) on a free port, with nothing on disk that outlives it.
///
/// `REDIS_SERVER` or `VALKEY_SERVER` names another binary. Keep the server alive with `defer { redis.stop() }`: it is
/// killed when its last owner releases it. `VALKEY_BIN` names a Valkey of 8.1 or later for the tests that need one.
package final class RedisServer {
    package let port: UInt16
    /// The port that speaks TLS; `nil` without TLS.
    package let tlsPort: UInt16?
    package let folder: TemporaryFolder
    private let binary: String
    private let arguments: [String]
    /// Kept because a restart reads the certificate files again.
    private let tls: TLSPeer.Options?
    private var process: ChildProcess

    private static var standardBinary: String {
        let environment = ProcessInfo.processInfo.environment
        return environment["REDIS_SERVER"] ?? environment["VALKEY_SERVER"] ?? "redis-server"
    }

    /// A Redis 7.4 or later, which expires hash fields: the binary that `REDIS74_BIN` names.
    package static var newerBinary: String? {
        ProcessInfo.processInfo.environment["REDIS74_BIN"].flatMap { $0.isEmpty ? nil : $0 }
    }

    /// The file of Redis' JSON module, for `--loadmodule`, that `REJSON_MODULE` names.
    package static var jsonModule: String? {
        ProcessInfo.processInfo.environment["REJSON_MODULE"].flatMap { $0.isEmpty ? nil : $0 }
    }

    /// Starts a server and waits until it answers.
    ///
    /// - Parameters:
    ///   - arguments: further options, such as `["--maxmemory", "100mb"]`; they come last and take precedence.
    ///   - binary: the server's program.
    ///   - tls: makes the server speak TLS, too, on `tlsPort`.
    package init(_ arguments: [String] = [], binary: String? = nil, tls: TLSPeer.Options? = nil) throws {
        let tlsPort = try tls.map { _ in try freePort() }
        let arguments = (tls.map { Self.arguments($0, port: tlsPort) } ?? []) + arguments
        (self.tls, self.tlsPort) = (tls, tlsPort)
        self.arguments = arguments
        self.binary = binary ?? Self.standardBinary
        folder = try TemporaryFolder("redis")
        (port, process) = try Self.start(self.binary, arguments, folder)
    }

    private static func arguments(_ tls: TLSPeer.Options, port: UInt16?) -> [String] {
        [
            "--tls-port", "\(port ?? 0)", "--tls-cert-file", tls.files.certificate, "--tls-key-file", tls.files.key,
            "--tls-ca-cert-file", tls.clientAuthority ?? tls.files.certificate,
            "--tls-auth-clients", tls.clientAuthority == nil ? "no" : "yes",
        ]
    }

    deinit { process.kill() }

    /// The Valkey that `VALKEY_BIN` names.
    package static var valkeyBinary: String? {
        ProcessInfo.processInfo.environment["VALKEY_BIN"].flatMap { $0.isEmpty ? nil : $0 }
    }

    package var address: String { "127.0.0.1:\(port)" }
    package var pid: Int32 { process.pid }
    package var isRunning: Bool { process.isRunning }
    /// What the server has logged since its start.
    package var log: String { process.output }

    package func client(timeout: Duration = .seconds(30)) throws -> RESPClient {
        try RESPClient(port: port, timeout: timeout)
    }

    /// Sends SIGTERM and waits for the end.
    package func stop() { process.terminate() }

    /// SIGKILL: what was not on disk is gone.
    package func kill() { process.kill() }

    /// SIGSTOP: connections stay, nothing is answered.
    package func pause() { process.pause() }

    /// SIGCONT.
    package func resume() { process.resume() }

    /// Ends the server if it runs, and starts it again on the same port with the same folder.
    ///
    /// - Parameter changes: options of this start only, which take precedence.
    package func restart(_ changes: [String] = []) throws {
        stop()
        process = try Self.launch(binary, arguments + changes, folder, port)
        try Self.waitUntilReady(process, port)
    }

    private static func start(
        _ binary: String, _ arguments: [String], _ folder: TemporaryFolder
    ) throws -> (UInt16, ChildProcess) {
        try withFreePort { port in
            let process = try launch(binary, arguments, folder, port)
            try waitUntilReady(process, port)
            return (port, process)
        }
    }

    private static func launch(
        _ binary: String, _ arguments: [String], _ folder: TemporaryFolder, _ port: UInt16
    ) throws -> ChildProcess {
        let fixed = [
            "--port", "\(port)", "--bind", "127.0.0.1", "--dir", folder.path, "--save", "", "--appendonly", "no",
            "--databases", "16", "--daemonize", "no",
        ]
        return try ChildProcess(binary, fixed + arguments, output: folder.file("redis.log"))
    }

    private static func waitUntilReady(_ process: ChildProcess, _ port: UInt16) throws {
        try waitUntilAnswering(process, port) { try $0.command("PING") }
    }
}

/// Runs `body` with a free port. If `body` throws, runs it again with another port, at most three times in all, because
/// the port may have been taken meanwhile.
func withFreePort<R>(_ body: (UInt16) throws -> R) throws -> R {
    for _ in 0..<2 {
        if let result = try? body(freePort()) { return result }
    }
    return try body(freePort())
}

/// Waits until `process` answers `question` on `port`.
///
/// - Throws: `LabError`, with the output of the process if it ends instead.
func waitUntilAnswering(_ process: ChildProcess, _ port: UInt16, _ question: (RESPClient) throws -> Void) throws {
    try wait(until: "\(process.name) answers on port \(port)") {
        guard process.isRunning else {
            throw LabError("\(process.name) ended instead of serving port \(port):\n\(process.outputTail())")
        }
        guard let client = try? RESPClient(port: port, timeout: .seconds(2)) else { return false }
        return (try? question(client)) != nil
    }
}
