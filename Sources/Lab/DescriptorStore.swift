import Base
import Foundation

/// Plays systemd for a service that keeps its sockets: `NOTIFY_SOCKET`, and a store of descriptors that outlives the
/// process.
package final class DescriptorStore: Sendable {
    private let folder: TemporaryFolder
    private let socket: Int32
    private let kept = Lock<[(name: String, descriptor: Int32)]>([])
    /// Stored descriptors have numbers from here on, above those that a child gets.
    private static let firstNumber: Int32 = 500

    package init() throws {
        folder = try TemporaryFolder("store")
        let path = folder.file("notify")
        let socket = Foundation.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let code = withUnsafePointer(to: address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard code == 0 else { throw LabError.system("bind", path) }
        self.socket = socket
        Thread { [kept] in
            while let message = Datagram.receive(from: socket) { Self.handle(message, kept) }
            close(socket)
        }.start()
    }

    deinit {
        shutdown(socket, Int32(SHUT_RDWR))
        for entry in kept.withLock({ $0 }) { close(entry.descriptor) }
    }

    /// The environment that a process needs to store its sockets here.
    package var environment: [String: String] { ["NOTIFY_SOCKET": folder.file("notify")] }

    /// The descriptors that the next process gets, in this order from number 3 on, and the environment that announces them.
    package var handover: (descriptors: [Int32], environment: [String: String]) {
        let kept = kept.withLock { $0 }
        guard !kept.isEmpty else { return ([], environment) }
        let names = kept.map(\.name).joined(separator: ":")
        let more = ["LISTEN_FDS": "\(kept.count)", "LISTEN_FDNAMES": names]
        return (kept.map(\.descriptor), environment.merging(more) { $1 })
    }

    package var names: [String] { kept.withLock { $0.map(\.name).sorted() } }

    private static func handle(
        _ message: Datagram, _ kept: borrowing Lock<[(name: String, descriptor: Int32)]>
    ) {
        let lines = message.text.split(separator: "\n")
        let name = lines.first { $0.hasPrefix("FDNAME=") }.map { String($0.dropFirst(7)) } ?? ""
        if lines.contains("FDSTORE=1") {
            for descriptor in message.descriptors {
                let own = fcntl(descriptor, F_DUPFD_CLOEXEC, firstNumber)
                kept.withLock { $0.append((name, own)) }
            }
        } else if lines.contains("FDSTOREREMOVE=1") {
            kept.withLock { kept in
                for entry in kept where entry.name == name { close(entry.descriptor) }
                kept.removeAll { $0.name == name }
            }
        }
        for descriptor in message.descriptors { close(descriptor) }
    }
}
