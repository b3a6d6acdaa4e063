import Foundation

/// A real Dragonfly on a free port, from the binary that `DRAGONFLY_BIN` names.
///
/// `DRAGONFLY_OTHER_BIN` may name another version for the tests with two masters.
package final class DragonflyServer {
    package let port: UInt16
    /// The plaintext port, which differs from `port` if the server speaks TLS.
    package let plainPort: UInt16
    private let folder: TemporaryFolder
    private let process: ChildProcess
    /// Kept so that the certificate files exist as long as the server.
    private let tls: TLSPeer.Options?

    private static var binary: String? {
        ProcessInfo.processInfo.environment["DRAGONFLY_BIN"].flatMap { $0.isEmpty ? nil : $0 }
    }

    /// The binary of another version if `DRAGONFLY_OTHER_BIN` names one, otherwise the usual binary.
    package static var otherBinary: String? {
        ProcessInfo.processInfo.environment["DRAGONFLY_OTHER_BIN"].flatMap { $0.isEmpty ? nil : $0 } ?? binary
    }

    /// Whether there is a real Dragonfly to test with.
    package static var isAvailable: Bool { binary != nil }

    /// Starts a master of `shards` shards and waits until it answers.
    ///
    /// - Parameters:
    ///   - tls: makes `port` speak TLS; the server then requests client certificates.
    ///   - binary: used instead of the binary that `DRAGONFLY_BIN` names.
    package init(
        shards: Int = 2, flags: [String] = [], tls: TLSPeer.Options? = nil, binary: String? = nil
    ) throws {
        guard let binary = binary ?? Self.binary else { throw LabError("DRAGONFLY_BIN names no binary") }
        let folder = try TemporaryFolder("dragonfly")
        let admin = try tls.map { _ in try freePort() }
        let flags = flags + (tls.map { Self.flags($0, adminPort: admin ?? 0) } ?? [])
        self.tls = tls
        (port, plainPort, process) = try withFreePort { port in
            let arguments = [
                "--port", "\(port)", "--bind", "127.0.0.1", "--proactor_threads", "\(shards)", "--dbfilename=",
                "--logtostderr", "--version_check=false", "--maxmemory", "2G", "--dir", folder.path,
            ]
            let process = try ChildProcess(binary, arguments + flags, output: folder.file("dragonfly.log"))
            try waitUntilAnswering(process, admin ?? port) { try $0.command("PING") }
            return (port, admin ?? port, process)
        }
        self.folder = folder
    }

    private static func flags(_ tls: TLSPeer.Options, adminPort: UInt16) -> [String] {
        [
            "--tls", "--tls_cert_file", tls.files.certificate, "--tls_key_file", tls.files.key, "--tls_ca_cert_file",
            tls.clientAuthority ?? tls.files.certificate, "--admin_port", "\(adminPort)", "--admin_bind", "127.0.0.1",
            "--no_tls_on_admin_port",
        ]
    }

    deinit { process.kill() }

    package var address: String { "127.0.0.1:\(port)" }
    package var pid: Int32 { process.pid }
    /// What the server has logged.
    package var log: String { process.output }

    package func client(timeout: Duration = .seconds(30)) throws -> RESPClient {
        try RESPClient(port: plainPort, timeout: timeout)
    }

    package func stop() { process.terminate() }
    package func kill() { process.kill() }
    package func pause() { process.pause() }
    package func resume() { process.resume() }
}
