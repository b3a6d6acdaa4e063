import Dispatch
import Foundation
import Lab
import Testing
import Wire

@testable import Link

@Suite("A channel")
struct ChannelTests {
    /// Two connected sockets; the first is non-blocking, as a channel wants it.
    private func pair() throws -> (ours: Int32, theirs: Int32) {
        var descriptors: [Int32] = [0, 0]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &descriptors) == 0)
        _ = fcntl(descriptors[0], F_SETFL, O_NONBLOCK)
        return (descriptors[0], descriptors[1])
    }

    /// The socket's own number: descriptors are used again by other tests as soon as they are free.
    private func socketNumber(_ descriptor: Int32) -> UInt64? {
        var status = stat()
        return fstat(descriptor, &status) == 0 ? UInt64(status.st_ino) : nil
    }

    private func eventually(_ condition: () -> Bool) -> Bool {
        for _ in 0..<500 {
            if condition() { return true }
            usleep(10_000)
        }
        return condition()
    }

    @Test("returns the bytes that have arrived, wouldBlock if there are none, and the peer's FIN")
    func reading() throws {
        let (ours, theirs) = try pair()
        let queue = DispatchQueue(label: "test")
        func readOnce(_ channel: Channel) throws -> Channel.ReadResult {
            var buffer = [UInt8](repeating: 0, count: 16)
            return try buffer.withUnsafeMutableBytes { try channel.read(into: $0) }
        }
        try queue.sync {
            let channel = Channel(ConnectedSocket(ours), peer: "peer", queue: queue)
            let nothing = try readOnce(channel)
            #expect(nothing == .wouldBlock)
            #expect(write(theirs, "abc", 3) == 3)
            let three = try readOnce(channel)
            #expect(three == .bytes(3))
            close(theirs)
            let end = try readOnce(channel)
            #expect(end == .endOfStream)
            channel.close()
        }
    }

    /// A handler that reads four bytes a turn.
    @Test("calls the read handler until everything has been read", arguments: ["open", "closed", "reset"])
    func turns(end: String) async throws {
        let server = try ScriptedServer { connection in
            connection.send("0123456789ab")
            if end == "reset" { connection.closesWithReset() }
            if end == "open" { _ = connection.receive() }
        }
        let socket = try await Dialer.connect(
            to: Endpoint(host: "127.0.0.1", port: server.port), timeout: .seconds(10))
        // All has come, and the connection has ended, before the handler is called.
        blockThread(for: .milliseconds(300))
        let queue = DispatchQueue(label: "test")
        let (text, hasEnded) = (Lock(""), Lock(false))
        let channel = queue.sync {
            let channel = Channel(socket, peer: "peer", queue: queue)
            if end == "closed" { channel.shutdownWrite() }
            channel.startReading {
                var buffer = [UInt8](repeating: 0, count: 4)
                do {
                    switch try buffer.withUnsafeMutableBytes({ try channel.read(into: $0) }) {
                    case .bytes(let count):
                        text.withLock { $0 += String(decoding: buffer[..<count], as: UTF8.self) }
                        return
                    case .wouldBlock: return
                    case .endOfStream: break
                    }
                } catch {}
                hasEnded.withLock { $0 = true }
                channel.stopReading()
            }
            return channel
        }
        #expect(eventually { text.withLock { $0 } == "0123456789ab" })
        #expect(end == "open" || eventually { hasEnded.withLock { $0 } })
        queue.sync { channel.close() }
    }

    @Test("buffers what the kernel does not take, and writes it when there is room again")
    func backPressure() throws {
        let (ours, theirs) = try pair()
        defer { close(theirs) }
        let queue = DispatchQueue(label: "test")
        let progress = DispatchSemaphore(value: 0)
        let block = (0..<4 << 20).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let channel = queue.sync { Channel(ConnectedSocket(ours), peer: "peer", queue: queue) }
        nonisolated(unsafe) let shared = channel  // touched on its queue only
        queue.sync {
            shared.startWriting(progress: { progress.signal() }, failure: { Issue.record("\($0)") })
            shared.write { $0.append(block.span.bytes) }
        }
        let unwritten = queue.sync { shared.unwrittenBytes }
        #expect(unwritten > 0, "a socket does not hold so much")
        var received = 0
        var sink = [UInt8](repeating: 0, count: 1 << 20)
        while received < block.count {
            let count = recv(theirs, &sink, sink.count, 0)
            try #require(count > 0)
            #expect(sink[..<count].elementsEqual(block[received..<received + count]))
            received += count
        }
        #expect(progress.wait(timeout: .now() + 10) == .success)
        #expect(eventually { queue.sync { shared.unwrittenBytes } == 0 })
        queue.sync { shared.close() }
    }

    @Test("writes from a buffer of its owner, also what is appended later")
    func growingSource() throws {
        let (ours, theirs) = try pair()
        defer { close(theirs) }
        let queue = DispatchQueue(label: "test")
        let source = Growing()
        let channel = queue.sync { Channel(ConnectedSocket(ours), peer: "peer", queue: queue) }
        nonisolated(unsafe) let shared = channel  // touched on its queue only
        queue.sync {
            shared.startWriting(failure: { Issue.record("\($0)") })
            for byte: UInt8 in 1...3 { source.bytes.append(byte) }
            shared.write(source)
            source.bytes.append(4)
            shared.flush()
            shared.shutdownWrite()
        }
        var received = [UInt8](repeating: 0, count: 16)
        #expect(recv(theirs, &received, received.count, Int32(MSG_WAITALL)) == 4)
        #expect(received.prefix(4) == [1, 2, 3, 4])
        queue.sync { shared.close() }
    }

    private final class Growing: OutgoingBytes {
        var bytes = ByteBuffer()
        var unwrittenBytes: Int { bytes.count }
        func write(_ body: (UnsafeRawBufferPointer) throws(SystemError) -> Int) throws(SystemError) {
            bytes.removeFirst(try bytes.withUnsafeBytes { (bytes) throws(SystemError) in try body(bytes) })
        }
    }

    @Test("reports a broken connection once, and still reads what the peer sent before")
    func brokenPipe() throws {
        let (ours, theirs) = try pair()
        let queue = DispatchQueue(label: "test")
        #expect(write(theirs, "bye", 3) == 3)
        close(theirs)
        try queue.sync {
            var failures: [SystemError] = []
            let channel = Channel(ConnectedSocket(ours), peer: "peer", queue: queue)
            channel.startWriting { failures.append($0) }
            channel.write { $0.append("ping") }
            channel.write { $0.append("ping") }
            #expect(failures == [SystemError("write", errno: EPIPE, peer: "peer")])
            var buffer = [UInt8](repeating: 0, count: 16)
            let result = try buffer.withUnsafeMutableBytes { try channel.read(into: $0) }
            #expect(result == .bytes(3))
            channel.close()
        }
    }

    @Test("sends a FIN and closes its descriptor once no dispatch source watches it", arguments: [false, true])
    func closing(_ isReading: Bool) throws {
        let (ours, theirs) = try pair()
        defer { close(theirs) }
        let queue = DispatchQueue(label: "test")
        let number = socketNumber(ours)
        queue.sync {
            let channel = Channel(ConnectedSocket(ours), peer: "peer", queue: queue)
            if isReading { channel.startReading {} }
            channel.startWriting { _ in }
            channel.close()
            channel.close()
        }
        #expect(eventually { socketNumber(ours) != number })
        var byte: UInt8 = 0
        #expect(read(theirs, &byte, 1) == 0, "the peer sees a FIN")
    }

    @Test("hands over its socket open and unread")
    func detaching() throws {
        let (ours, theirs) = try pair()
        defer { close(theirs) }
        let queue = DispatchQueue(label: "test")
        let given = DispatchSemaphore(value: 0)
        queue.sync {
            let channel = Channel(ConnectedSocket(ours), peer: "peer", queue: queue)
            channel.startReading {}
            channel.detach { socket in
                #expect(socket.descriptor == ours)
                given.signal()
            }
        }
        #expect(given.wait(timeout: .now() + 10) == .success)
        #expect(write(theirs, "x", 1) == 1)
        var byte: UInt8 = 0
        var ready = pollfd(fd: ours, events: Int16(POLLIN), revents: 0)
        #expect(poll(&ready, 1, 5_000) == 1)
        #expect(read(ours, &byte, 1) == 1)
        close(ours)
    }
}
