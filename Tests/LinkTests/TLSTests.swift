import COpenSSL
import Dispatch
import Foundation
import Lab
import Testing
import Wire

@testable import Link

@Suite struct `A connection with TLS` {
    @Test(arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
    func `carries requests and replies`(_ version: Int32) async throws {
        let scene = try TLSScene()
        let connection = try await scene.connect(to: try scene.server(versions: version...version))
        for _ in 0..<3 { #expect(try await connection.request("PING").isOK) }
        #expect(await connection.leave(within: .seconds(10)))
    }

    @Test func `reads its certificate files again for each connection`() async throws {
        var scene = try TLSScene()
        let folder = try TemporaryFolder("tls")
        let wrong = try String(contentsOfFile: scene.stranger.file, encoding: .utf8)
        scene.settings.caFile = try folder.write(wrong, to: "ca.pem")
        let server = try scene.server()
        #expect(try await scene.failure(at: server).code == .certificate)
        try folder.write(try String(contentsOfFile: scene.authority.file, encoding: .utf8), to: "ca.pem")
        let connection = try await scene.connect(to: server)
        #expect(try await connection.request("PING").isOK)
        await connection.close()
    }

    /// A master of some versions crashes when a connection ends by FIN before anything has come (Protocol 2.7).
    @Test(arguments: [false, true])
    func `never sends FIN before its first byte, whenever it is cancelled`(hasBrokenFile: Bool) async throws {
        var scene = try TLSScene()
        let folder = try TemporaryFolder("tls")
        if hasBrokenFile { scene.settings.caFile = try folder.write("half a certificate\n", to: "ca.pem") }
        let (greetings, silences, resets) = (Lock(0), Lock(0), Lock(0))
        let server = try ScriptedServer { connection in
            var byte: UInt8 = 0
            switch read(connection.descriptor, &byte, 1) {
            case 1: greetings.withLock { $0 += byte == 0x16 ? 1 : 0 }
            case 0: silences.withLock { $0 += 1 }
            default: resets.withLock { $0 += 1 }
            }
        }
        let endpoint = Endpoint(host: "127.0.0.1", port: server.port)
        for round in 0..<100 {
            let attempt = Task { [settings = scene.settings] in
                let connection = try await RequestConnection.connect(
                    to: endpoint, tls: settings, label: "test", timeout: .seconds(10))
                await connection.close()
            }
            if !hasBrokenFile { try await Task.sleep(for: .microseconds(30 * round)) }
            attempt.cancel()
            _ = await attempt.result
        }
        try await Task.sleep(for: .milliseconds(300))
        #expect(silences.withLock { $0 } == 0)
        #expect(hasBrokenFile == (greetings.withLock { $0 } == 0))
        if hasBrokenFile { #expect(resets.withLock { $0 } == 0) }
    }

    @Test func `accepts an invalid certificate only if verification is disabled`() async throws {
        var scene = try TLSScene()
        scene.settings.caFile = nil
        let server = try scene.server(scene.authority.issue(names: "DNS:elsewhere", seconds: -7200 ... -3600))
        #expect(try await scene.failure(at: server).code == .certificate)
        scene.settings.skipsVerification = true
        let connection = try await scene.connect(to: server)
        #expect(try await connection.request("PING").isOK)
        await connection.close()
    }

    @Test func `hands over bytes that its TLS session has already read`() async throws {
        let scene = try TLSScene()
        // One record: when its first bytes are read, the kernel has nothing more to announce.
        let block = pattern(16_000)
        let mayWrite = DispatchSemaphore(value: 0)
        let server = try scene.server { peer in
            mayWrite.wait()
            peer.send(block[0...])
            _ = peer.receive()
        }
        let first = try await scene.channel(to: server)
        mayWrite.signal()
        let head = try received(on: first, count: 100, piece: 100)
        let given = Lock<ConnectedSocket?>(nil)
        first.run { $0.detach { socket in given.withLock { $0 = socket } } }
        try wait(until: "it is handed over") { given.withLock { $0 != nil } }
        let socket = try #require(given.withLock { $0 })
        let queue = DispatchQueue(label: "test")
        let second = queue.sync { OnQueue(Channel(socket, peer: "peer", queue: queue), queue) }
        #expect(try head + received(on: second, count: block.count - head.count, piece: 5000) == block)
        second.run { $0.close() }
    }

    @Test(arguments: [1000, 100_000])
    func `calls the read handler until everything has been read, in pieces of any size`(_ piece: Int) async throws {
        let scene = try TLSScene()
        let block = pattern(4 << 20)
        let mayWrite = DispatchSemaphore(value: 0)
        let server = try scene.server { peer in
            mayWrite.wait()
            peer.send(block[0...])
            _ = peer.receive()
        }
        let channel = try await scene.channel(to: server)
        mayWrite.signal()
        #expect(try received(on: channel, count: block.count, piece: piece) == block)
        channel.run { $0.close() }
    }

    @Test func `buffers what the kernel does not take, and writes it when there is room again`() async throws {
        let scene = try TLSScene()
        let block = pattern(8 << 20)
        let (mayRead, received) = (DispatchSemaphore(value: 0), Lock<[UInt8]>([]))
        let server = try scene.server { peer in
            mayRead.wait()
            while case .bytes(let bytes) = peer.receive() { received.withLock { $0 += bytes } }
        }
        let channel = try await scene.channel(to: server)
        let progress = DispatchSemaphore(value: 0)
        let unwritten = channel.run { channel in
            channel.startWriting(progress: { progress.signal() }, failure: { Issue.record("\($0)") })
            channel.write { $0.append(block.span.bytes) }
            return channel.unwrittenBytes
        }
        #expect(unwritten > 0, "a socket does not hold so much")
        mayRead.signal()
        try wait(until: "all is written") { channel.run { $0.unwrittenBytes } == 0 }
        #expect(progress.wait(timeout: .now() + 10) == .success)
        channel.run { $0.shutdownWrite() }
        try wait(until: "all has arrived") { received.withLock { $0.count } == block.count }
        #expect(received.withLock { $0 } == block)
        channel.run { $0.close() }
    }

    @Test(arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
    func `leaves with close_notify and FIN, then reads up to the peer's FIN without writing`(
        _ version: Int32
    ) async throws {
        let scene = try TLSScene()
        let block = pattern(1 << 20)
        let seen = Lock<(end: TLSPeer.End?, rest: Int?)>((nil, nil))
        let server = try scene.server(versions: version...version) { peer in
            guard case .end(let end) = peer.receive() else { return }
            seen.withLock { $0.end = end }
            peer.send(block[..<1000])
            // A side that may still write would have to answer this.
            if version == TLS1_3_VERSION { peer.askForNewKeys() }
            peer.send(block[1000...])
            peer.finish()
            let rest = peer.rawBytesToFIN()
            seen.withLock { $0.rest = rest }
        }
        let channel = try await scene.channel(to: server)
        channel.run { channel in
            channel.startWriting { Issue.record("\($0)") }
            channel.shutdownWrite()
        }
        let rest = try received(on: channel, count: .max, piece: 100_000)
        #expect(rest == block)
        try wait(until: "the peer has seen our FIN") { seen.withLock { $0.rest != nil } }
        #expect(seen.withLock { $0.end } == .notified)
        #expect(seen.withLock { $0.rest } == 0, "nothing comes after close_notify but FIN")
        channel.run { $0.close() }
    }

    @Test func `accepts a FIN without close_notify as the end`() async throws {
        let scene = try TLSScene()
        let mayWrite = DispatchSemaphore(value: 0)
        let server = try scene.server { peer in
            mayWrite.wait()
            peer.send("abc")
            shutdown(peer.descriptor, Int32(SHUT_WR))
            #expect(peer.rawBytesToFIN() == 0, "a peer that has closed gets no close_notify")
        }
        let channel = try await scene.channel(to: server)
        mayWrite.signal()
        #expect(try received(on: channel, count: .max, piece: 100) == Array("abc".utf8))
        channel.run { $0.close() }
    }

    // MARK: Help

    private func pattern(_ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
    }

    /// Reads on the channel's queue, `piece` bytes a call, until `count` bytes or the end have come.
    private func received(on channel: OnQueue<Channel>, count: Int, piece: Int) throws -> [UInt8] {
        let done = DispatchSemaphore(value: 0)
        let bytes = Lock<(all: [UInt8], hasEnded: Bool)>(([], false))
        channel.run { channel in
            var buffer = [UInt8](repeating: 0, count: piece)
            channel.startReading { [unowned channel] in
                do {
                    // One read per call: the rest must lead to another call.
                    let result = try buffer.withUnsafeMutableBytes { try channel.read(into: $0) }
                    let isDone = bytes.withLock { bytes in
                        if case .bytes(let got) = result { bytes.all += buffer[..<got] }
                        if result == .endOfStream { bytes.hasEnded = true }
                        return bytes.hasEnded || bytes.all.count >= count
                    }
                    if isDone {
                        channel.stopReading()
                        done.signal()
                    }
                } catch {
                    Issue.record(error)
                    channel.stopReading()
                    done.signal()
                }
            }
        }
        #expect(done.wait(timeout: .now() + 20) == .success)
        return bytes.withLock { $0.all }
    }
}
