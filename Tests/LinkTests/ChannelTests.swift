import Dispatch
import Foundation
import Testing

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

    @Test("reads what is there, says when nothing is, and sees the peer's FIN")
    func reading() throws {
        let (ours, theirs) = try pair()
        let queue = DispatchQueue(label: "test")
        func readOnce(_ channel: Channel) throws -> Channel.ReadResult {
            var buffer = [UInt8](repeating: 0, count: 16)
            return try buffer.withUnsafeMutableBytes { try channel.read(into: $0) }
        }
        try queue.sync {
            let channel = Channel(descriptor: ours, peer: "peer", queue: queue)
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

    @Test("writes no more than the kernel takes, and is told when there is room again")
    func backPressure() throws {
        let (ours, theirs) = try pair()
        defer { close(theirs) }
        let queue = DispatchQueue(label: "test")
        let writable = DispatchSemaphore(value: 0)
        let block = [UInt8](repeating: 1, count: 1 << 20)
        let channel = queue.sync { Channel(descriptor: ours, peer: "peer", queue: queue) }
        nonisolated(unsafe) let shared = channel  // touched on its queue only
        try queue.sync {
            shared.setWriteHandler {
                shared.stopWaitingToWrite()
                writable.signal()
            }
            var taken = 0
            while true {
                let count = try block.withUnsafeBytes { try shared.write($0) }
                if count == 0 { break }
                taken += count
            }
            #expect(taken > 0)
            shared.waitUntilWritable()
        }
        #expect(writable.wait(timeout: .now() + 0.05) == .timedOut, "there is no room yet")
        var sink = [UInt8](repeating: 0, count: 1 << 20)
        while recv(theirs, &sink, sink.count, Int32(MSG_DONTWAIT)) > 0 {}
        #expect(writable.wait(timeout: .now() + 10) == .success)
        queue.sync { shared.close() }
    }

    @Test("closes its descriptor once no source watches it, after a FIN", arguments: [false, true])
    func closing(_ isReading: Bool) throws {
        let (ours, theirs) = try pair()
        defer { close(theirs) }
        let queue = DispatchQueue(label: "test")
        let number = socketNumber(ours)
        queue.sync {
            let channel = Channel(descriptor: ours, peer: "peer", queue: queue)
            if isReading { channel.startReading {} }
            channel.setWriteHandler {}
            channel.close()
            channel.close()
        }
        #expect(eventually { socketNumber(ours) != number })
        var byte: UInt8 = 0
        #expect(read(theirs, &byte, 1) == 0, "the peer sees a FIN")
    }

    @Test("gives its socket away open and unread")
    func detaching() throws {
        let (ours, theirs) = try pair()
        defer { close(theirs) }
        let queue = DispatchQueue(label: "test")
        let given = DispatchSemaphore(value: 0)
        queue.sync {
            let channel = Channel(descriptor: ours, peer: "peer", queue: queue)
            channel.startReading {}
            channel.detach { descriptor in
                #expect(descriptor == ours)
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
