import Foundation
import Lab
import Testing
import Wire

@testable import Link

extension ScriptedServer {
    fileprivate var endpoint: Endpoint { Endpoint(host: "127.0.0.1", port: port) }
}

@Suite("A connection of requests")
struct RequestConnectionTests {
    @Test("returns the reply to each request, however the replies are split")
    func replies() async throws {
        let server = try ScriptedServer { connection in
            _ = connection.receive()
            for byte in "+PONG\r\n" { connection.send(String(byte)) }
            _ = connection.receive()
            connection.send("-ERR no\r\n")
            _ = connection.receive()
        }
        let connection = try await RequestConnection.connect(
            to: server.endpoint, tls: nil, label: "test", timeout: .seconds(5))
        #expect(try await connection.request("PING") == .simple("PONG"))
        #expect(try await connection.request("NO") == .error("ERR no"))
        await connection.close()
        await #expect(throws: RequestFailure.self) { try await connection.request("PING") }
    }

    @Test("reports that the peer has closed it")
    func closedByPeer() async throws {
        let server = try ScriptedServer { connection in _ = connection.receive() }
        let connection = try await RequestConnection.connect(
            to: server.endpoint, tls: nil, label: "test", timeout: .seconds(5))
        do {
            _ = try await connection.request("PING")
            Issue.record("nobody answered")
        } catch {
            #expect("\(error)".contains("closed the connection"), "\(error)")
        }
    }

    @Test("quotes the error that the server sent before it closed", arguments: [false, true], [false, true])
    func closeReason(isReset: Bool, isCutOff: Bool) async throws {
        let line = isCutOff ? "-ERR max number of clients" : "-ERR max number of clients reached\r\n"
        let server = try ScriptedServer { connection in
            connection.send(line)
            if isReset { connection.closesWithReset() }
        }
        let connection = try await RequestConnection.connect(
            to: server.endpoint, tls: nil, label: "test", timeout: .seconds(5))
        do {
            // The line may come early enough to be taken as the reply to the first request.
            for _ in 0..<2 {
                let reply = try await connection.request("PING")
                #expect(reply.errorText?.hasPrefix("ERR max number of clients") == true)
            }
            Issue.record("nobody answers twice")
        } catch {
            #expect("\(error)".contains("closed the connection: ERR max number of clients"), "\(error)")
        }
        await connection.close()
    }

    @Test("does not quote an error reply to an earlier request when the server closes later")
    func ordinaryError() async throws {
        let server = try ScriptedServer { connection in
            for reply in ["+OK\r\n", "-ERR unknown command\r\n"] {
                _ = connection.receive()
                connection.send(reply)
            }
        }
        let connection = try await RequestConnection.connect(
            to: server.endpoint, tls: nil, label: "test", timeout: .seconds(5))
        #expect(try await connection.request("PING").isOK)
        #expect(try await connection.request("WHAT").errorText == "ERR unknown command")
        do {
            _ = try await connection.request("PING")
            Issue.record("nobody answered")
        } catch {
            #expect(!"\(error)".contains("unknown command"), "\(error)")
        }
        await connection.close()
    }

    @Test("gives up a request without an answer in time")
    func timeout() async throws {
        let server = try ScriptedServer { connection in
            while !connection.receive().isEmpty {}
        }
        let connection = try await RequestConnection.connect(
            to: server.endpoint, tls: nil, label: "test", timeout: .seconds(5))
        do {
            _ = try await connection.request("PING", timeout: .milliseconds(50))
            Issue.record("nobody answered")
        } catch {
            #expect("\(error)".contains("no answer from"), "\(error)")
        }
        await connection.close()
    }

    @Test("hands over its socket with the bytes after the last reply")
    func detaching() async throws {
        let server = try ScriptedServer { connection in
            _ = connection.receive()
            connection.send("+OK\r\nREDIS0009")
            _ = connection.receive()
        }
        let connection = try await RequestConnection.connect(
            to: server.endpoint, tls: nil, label: "test", timeout: .seconds(5))
        #expect(try await connection.request("DFLY").isOK)
        let (socket, unconsumed) = try await connection.detach()
        let descriptor = socket.descriptor
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

    @Test("names the address that refuses the connection")
    func refused() async throws {
        do {
            _ = try await Dialer.connect(to: Endpoint(host: "127.0.0.1", port: 1), timeout: .seconds(5))
            Issue.record("nobody listens there")
        } catch {
            #expect("\(error)" == "connect 127.0.0.1:1: Connection refused")
        }
    }

    @Test("fails if the host is unknown")
    func unknownHost() async throws {
        await #expect(throws: SystemError.self) {
            try await Dialer.connect(to: Endpoint(host: "no-such-host.invalid", port: 1), timeout: .seconds(20))
        }
    }
}
