import DragonflySimulator
import Foundation
import Lab
import Testing

/// The ends of TCP connections on the loopback interface as they went over the wire: all segments of one port with FIN or
/// RST.
///
/// Needs tcpdump and the rights to use it.
final class PacketCapture {
    struct End: Equatable, CustomStringConvertible {
        enum Kind { case fin, rst }

        let from: UInt16
        let to: UInt16
        let kind: Kind

        var description: String { "\(kind) from \(from) to \(to)" }
    }

    static let isPossible: Bool =
        getuid() == 0
        && ["/usr/bin/tcpdump", "/usr/sbin/tcpdump"].contains { FileManager.default.isExecutableFile(atPath: $0) }

    private let folder: TemporaryFolder
    private let process: ChildProcess
    private let port: UInt16

    /// Begins to capture what goes from or to `port`.
    init(port: UInt16) throws {
        self.port = port
        folder = try TemporaryFolder("capture")
        // Capture only what the tests check: tcpdump cannot print the whole stream.
        process = try ChildProcess(
            "tcpdump",
            [
                "-i", "lo", "-n", "-l", "--immediate-mode",
                "tcp port \(port) and tcp[tcpflags] & (tcp-fin|tcp-rst) != 0",
            ],
            output: folder.file("packets"), error: folder.file("log"))
        try wait(until: "tcpdump listens") { process.errorOutput.contains("listening on lo") || !process.isRunning }
    }

    /// The ends so far, in the order in which they were sent.
    var ends: [End] {
        // 09:00:00.000000 IP 127.0.0.1.40000 > 127.0.0.1.6380: Flags [F.], seq ...
        process.output.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            guard words.count > 6, words[5] == "Flags", let from = Self.port(words[2]), let to = Self.port(words[4])
            else { return nil }
            return End(from: from, to: to, kind: words[6].contains("R") ? .rst : .fin)
        }
    }

    private static func port(_ address: Substring) -> UInt16? {
        address.split(separator: ".").last.flatMap { UInt16($0.filter(\.isNumber)) }
    }

    /// The resets, whichever side sent them.
    var resets: [End] { ends.filter { $0.kind == .rst } }

    /// The resets of connections that `master` has accepted, with what it knows about them. A stranger on this machine that
    /// looks for its own server may have been refused at the same port.
    func resets(of master: SimulatedMaster) -> [String] {
        let connections = master.connections
        return resets.compactMap { end in
            connections.first { $0.peerPort == end.from || $0.peerPort == end.to }
                .map { "\(end): \($0.role), \($0.commands)" }
        }
    }

    /// The first end on each connection, by the port of the server's peer.
    var firstEnds: [UInt16: End] {
        var first: [UInt16: End] = [:]
        for end in ends {
            let peer = end.from == port ? end.to : end.from
            if first[peer] == nil { first[peer] = end }
        }
        return first
    }

    deinit { process.kill() }
}

/// Stops a task under load, and checks on the wire what a leave promises: FIN first, no RST, and a master that goes on.
func leaveUnderLoad(
    _ daemon: Daemon, from master: DragonflyServer, shards: Int, _ writer: RandomWriter, before leave: () -> Void
) throws {
    let capture = try PacketCapture(port: master.port)
    let atStable = writer.commandCount
    try wait(until: "there is load") { writer.commandCount > atStable + 20_000 }
    leave()
    try daemon.leave(timeout: stopLimit)
    try wait(until: "every end is on the wire") { capture.firstEnds.count >= shards + 1 }
    #expect(capture.resets == [])
    #expect(capture.ends.first?.to == master.port, "our FIN is the first of all")
    let atEnd = writer.commandCount
    try wait(until: "the writers go on") { writer.commandCount > atEnd + 5000 }
    let client = try master.client()
    try wait(until: "the session is gone") { try client.info("replication", "connected_slaves") == "0" }
}
