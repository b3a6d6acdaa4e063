import Foundation
import Testing
import Wire

@testable import Link

/// A server that answers each connection by a script.
private final class ScriptedServer: Sendable {
    let endpoint: Endpoint
    private let listener: Int32

    /// - Parameter script: what it does with a connection, on a thread of its own; the connection is closed after it.
    init(_ script: @escaping @Sendable (Int32) -> Void) throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        self.listener = listener
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(listener, address, size) == 0 && listen(listener, 8) == 0
                    && getsockname(listener, address, &size) == 0
            }
        }
        try #require(bound)
        endpoint = Endpoint(host: "127.0.0.1", port: UInt16(bigEndian: address.sin_port))
        detachThread {
            while true {
                let connection = accept(listener, nil, nil)
                if connection < 0 { break }
                script(connection)
                close(connection)
            }
            // Closed by the thread that uses it: its number may belong to another server at once.
            close(listener)
        }
    }

    deinit { shutdown(listener, Int32(SHUT_RDWR)) }

    static func receive(_ connection: Int32) -> String {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = read(connection, &buffer, buffer.count)
        return String(decoding: buffer.prefix(max(count, 0)), as: UTF8.self)
    }

    static func send(_ connection: Int32, _ text: String) { _ = write(connection, text, text.utf8.count) }
}

@Suite("A connection of requests")
struct RequestConnectionTests {
    @Test("gets each reply for its request, however the replies are cut")
    func replies() async throws {
        let server = try ScriptedServer { connection in
            _ = ScriptedServer.receive(connection)
            for byte in "+PONG\r\n" { ScriptedServer.send(connection, String(byte)) }
            _ = ScriptedServer.receive(connection)
            ScriptedServer.send(connection, "-ERR no\r\n")
            _ = ScriptedServer.receive(connection)
        }
        let connection = try await RequestConnection.connect(to: server.endpoint, label: "test", timeout: .seconds(5))
        #expect(try await connection.request("PING") == .simple("PONG"))
        #expect(try await connection.request("NO") == .error("ERR no"))
        await connection.close()
        await #expect(throws: RequestFailure.self) { try await connection.request("PING") }
    }

    @Test("says who closed it")
    func closedByPeer() async throws {
        let server = try ScriptedServer { connection in _ = ScriptedServer.receive(connection) }
        let connection = try await RequestConnection.connect(to: server.endpoint, label: "test", timeout: .seconds(5))
        do {
            _ = try await connection.request("PING")
            Issue.record("nobody answered")
        } catch {
            #expect("\(error)".contains("closed the connection"), "\(error)")
        }
    }

    @Test("gives up a request that is not answered in time")
    func timeout() async throws {
        let server = try ScriptedServer { connection in
            while !ScriptedServer.receive(connection).isEmpty {}
        }
        let connection = try await RequestConnection.connect(to: server.endpoint, label: "test", timeout: .seconds(5))
        do {
            _ = try await connection.request("PING", timeout: .milliseconds(50))
            Issue.record("nobody answered")
        } catch {
            #expect("\(error)".contains("no answer from"), "\(error)")
        }
        await connection.close()
    }

    @Test("hands over its socket with what stands behind the last reply")
    func detaching() async throws {
        let server = try ScriptedServer { connection in
            _ = ScriptedServer.receive(connection)
            ScriptedServer.send(connection, "+OK\r\nREDIS0009")
            _ = ScriptedServer.receive(connection)
        }
        let connection = try await RequestConnection.connect(to: server.endpoint, label: "test", timeout: .seconds(5))
        #expect(try await connection.request("DFLY").isOK)
        let (descriptor, unconsumed) = try #require(await connection.detach())
        var rest = unconsumed
        while rest.count < 9 {
            var ready = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            try #require(poll(&ready, 1, 5_000) == 1)
            var buffer = [UInt8](repeating: 0, count: 16)
            let count = read(descriptor, &buffer, buffer.count)
            try #require(count > 0)
            rest += buffer.prefix(count)
        }
        #expect(String(decoding: rest, as: UTF8.self) == "REDIS0009")
        close(descriptor)
    }

    @Test("names the address that refuses")
    func refused() async throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(listener) }
        do {
            _ = try await Dialer.connect(to: Endpoint(host: "127.0.0.1", port: 1), timeout: .seconds(5))
            Issue.record("nobody listens there")
        } catch {
            #expect("\(error)" == "connect 127.0.0.1:1: Connection refused")
        }
    }

    @Test("names the host that nobody knows")
    func unknownHost() async throws {
        await #expect(throws: SystemError.self) {
            try await Dialer.connect(to: Endpoint(host: "no-such-host.invalid", port: 1), timeout: .seconds(20))
        }
    }
}
