import Foundation
import Lab
import Testing

@testable import Link

extension Listener {
    var address: Dialer.Address {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Dialer.Address($0, size: socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }

    /// Makes connections that nobody accepts: after them the kernel answers no more.
    func fill() -> [Int32] {
        (0..<4).map { _ in
            let flags = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
            let client = socket(AF_INET, flags, 0)
            _ = address.withSocketAddress { connect(client, $0, $1) }
            return client
        }
    }
}

@Suite struct `Dialing a host` {
    private let endpoint = Endpoint(host: "a.test", port: 1)

    @Test func `leaves time for the second address if the first does not answer`() async throws {
        let (hole, server) = (try Listener(backlog: 0), try Listener(backlog: 8))
        let fillers = hole.fill()
        defer { for filler in fillers { close(filler) } }
        let addresses = [hole.address, server.address]
        let socket = try await Dialer.connect(to: endpoint, timeout: .seconds(3), resolve: { _ in addresses })
        close(socket.descriptor)
        await #expect(throws: SystemError("connect", errno: ETIMEDOUT, peer: "a.test:1")) {
            _ = try await Dialer.connect(to: endpoint, timeout: .milliseconds(300), resolve: { _ in [addresses[0]] })
        }
    }

    @Test func `times out if the resolver does not answer`() async throws {
        let answer = DispatchSemaphore(value: 0)
        defer { answer.signal() }
        await #expect(throws: SystemError("resolve", errno: ETIMEDOUT, peer: "a.test:1")) {
            _ = try await Dialer.connect(
                to: endpoint, timeout: .milliseconds(200),
                resolve: { _ in
                    answer.wait()
                    return []
                })
        }
    }

    @Test func `fails if there is no address`() async throws {
        await #expect(throws: SystemError.self) {
            _ = try await Dialer.connect(to: endpoint, timeout: .seconds(1), resolve: { _ in [] })
        }
    }
}
