import Lab
import Link
import Testing

@testable import Dragonfly

@Suite struct `A flow connection that is taken over from its handshake` {
    /// A receiver without room.
    private final class FullReceiver: FlowReceiver {
        func receive(_ body: (UnsafeMutableRawBufferPointer) -> Int) -> Bool { false }
        func endOfFlow() {}
    }

    @Test func `is read to its end even if the receiver has no room for the first bytes`() async throws {
        let server = try ScriptedServer { connection in
            _ = connection.receive()
            connection.send("+PONG\r\n")
            connection.send(String(repeating: "x", count: 1 << 20))
            // Until our FIN.
            while !connection.receive().isEmpty {}
        }
        let connection = try await RequestConnection.connect(
            to: Endpoint(host: "127.0.0.1", port: server.port), tls: nil, label: "test", timeout: .seconds(10))
        _ = try await connection.request("PING", timeout: .seconds(10))
        let (socket, unconsumed) = try await connection.detach()
        let events = AsyncStream.makeStream(of: FlowConnectionEvent.self)
        let flow = FlowConnection(
            flow: FlowID(0), socket: socket, unconsumed: unconsumed + [1], peer: "peer", receiver: FullReceiver(),
            socketStore: NoSocketStore(), onEvent: { events.continuation.yield($0) })
        await flow.start()
        await flow.halfClose()
        var seen: [String] = []
        for await event in events.stream {
            switch event {
            case .overflowed: seen.append("overflowed")
            case .ended: seen.append("ended")
            }
            if seen.last == "ended" { break }
        }
        #expect(seen == ["overflowed", "ended"], "it is read to the master's end")
    }
}
