package import Dispatch
import Glibc
package import Wire

/// A connected TCP socket, plain or with TLS, with its Dispatch sources and the bytes that wait to be written.
///
/// Not Sendable: it is confined to `queue`, on which its owner makes every call and gets every handler's call. The
/// descriptor is closed once, after both sources have been cancelled.
///
/// There is one write loop. Bytes that the kernel does not take at once wait here (`write(_:)` with a closure) or with their
/// owner (`OutgoingBytes`), and are sent when there is room. Nothing is written after our FIN.
///
/// With TLS, a `TLSSession` is between the channel and the socket. If its handshake is not complete, `handshake` must be
/// called before anything is read or written.
package final class Channel {
    package enum ReadResult: Equatable {
        case bytes(Int)
        case wouldBlock
        /// The peer's FIN: nothing more arrives.
        case endOfStream
    }

    package let peer: String
    package let descriptor: Int32
    private let queue: DispatchQueue
    private let tls: TLSSession?
    private var onReadable: () -> Void = {}
    /// Calls the read handler again for bytes that the kernel does not announce.
    private var rereadSource: (any DispatchSourceUserDataAdd)?
    /// Whether the read handler has read until nothing more had arrived, or to the end.
    private var hasReadAll = false
    private var readSource: (any DispatchSourceRead)?
    private var writeSource: (any DispatchSourceWrite)?
    private var isWriteSourceArmed = false
    private var outgoing = ByteBuffer()
    private var source: (any OutgoingBytes)?
    private var onWriteFailure: ((SystemError) -> Void)?
    private var hasWriteFailed = false
    /// The time at which the peer last took or sent something.
    package private(set) var lastTraffic = ContinuousClock.now
    private var isReadingStopped = false
    /// The number of bytes for which the read handler waits (SO_RCVLOWAT).
    private var expectedBytes = 1
    package private(set) var isClosed = false
    package private(set) var hasSentFIN = false

    /// Takes over a socket.
    package init(_ socket: ConnectedSocket, peer: String, queue: DispatchQueue) {
        descriptor = socket.descriptor
        tls = socket.tls
        self.peer = peer
        self.queue = queue
    }

    deinit { close() }

    // MARK: Reading

    /// Calls `handler` whenever there is something to read, until `close`. The handler need not read everything, because it
    /// is called again.
    package func startReading(_ handler: @escaping () -> Void) {
        precondition(readSource == nil && !isClosed, "reading starts once")
        onReadable = handler
        let source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: queue)
        let rereadSource = DispatchSource.makeUserDataAddSource(queue: queue)
        source.setEventHandler { [weak self] in self?.callReadHandler() }
        rereadSource.setEventHandler { [weak self] in self?.callReadHandler() }
        (readSource, self.rereadSource) = (source, rereadSource)
        source.activate()
        rereadSource.activate()
        // The session may have read more before it was handed over.
        if tls?.mayHoldMore == true { rereadSource.add(data: 1) }
    }

    private func callReadHandler() {
        guard !isClosed, !isReadingStopped else { return }
        hasReadAll = false
        onReadable()
        if !isClosed, hasUnannouncedBytes { rereadSource?.add(data: 1) }
    }

    /// Whether there may be bytes that nobody announces. The kernel does not announce what the TLS session holds. And after
    /// Dispatch has called the handler of a connection that has ended on both sides, it stops watching the connection, so
    /// unread bytes and the end itself are not announced.
    private var hasUnannouncedBytes: Bool {
        if let tls { return tls.mayHoldMore || (!hasReadAll && hasHungUp) }
        return !hasReadAll && hasHungUp
    }

    /// Whether the connection has ended on both sides or was reset.
    private var hasHungUp: Bool {
        var state = pollfd(fd: descriptor, events: 0, revents: 0)
        return poll(&state, 1, 0) > 0
    }

    // MARK: TLS

    /// Sends what the TLS session itself has to send, such as new keys. This happens in a turn of its own, because a failed
    /// write calls the owner, who is reading at this moment.
    private func sendAnswers(of tls: TLSSession) {
        if tls.unsentBytes > 0, !hasSentFIN, !hasWriteFailed { waitUntilWritable() }
    }

    /// Continues the handshake as far as the bytes that have arrived allow. Called from the read handler until it is
    /// complete.
    ///
    /// - Returns: whether the handshake is complete; always `true` without TLS.
    package func handshake() throws(ChannelError) -> Bool {
        precondition(!isClosed, "a closed channel agrees on nothing")
        guard let tls else { return true }
        defer { sendAnswers(of: tls) }
        return try tls.handshake()
    }

    /// Suspends the calls of the read handler for good; the socket stays open.
    package func stopReading() {
        guard !isReadingStopped, let readSource else { return }
        isReadingStopped = true
        readSource.suspend()
    }

    /// Makes the read handler wait until `bytes` bytes have arrived or the connection has ended. This saves wake-ups if the
    /// minimum length of an answer is known. It has no effect with TLS.
    package func expect(_ bytes: Int) {
        let bytes = max(bytes, 1)
        guard tls == nil, !isClosed, bytes != expectedBytes else { return }
        expectedBytes = bytes
        var count = Int32(clamping: bytes)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVLOWAT, &count, socklen_t(MemoryLayout<Int32>.size))
    }

    package func read(into buffer: UnsafeMutableRawBufferPointer) throws(ChannelError) -> ReadResult {
        precondition(!isClosed, "a closed channel is not read")
        if let tls { return try readDecrypted(tls, into: buffer) }
        let count = retryingInterrupts { Glibc.read(descriptor, buffer.baseAddress, buffer.count) }
        if count > 0 {
            lastTraffic = .now
            return .bytes(count)
        }
        hasReadAll = true
        if count == 0 { return .endOfStream }
        if errno == EAGAIN { return .wouldBlock }
        throw .system(SystemError("read", errno: errno, peer: peer))
    }

    private func readDecrypted(
        _ tls: TLSSession, into buffer: UnsafeMutableRawBufferPointer
    ) throws(ChannelError) -> ReadResult {
        defer { sendAnswers(of: tls) }
        let result = try tls.read(into: buffer)
        if case .bytes = result { lastTraffic = .now } else { hasReadAll = true }
        return result
    }

    // MARK: Writing

    /// Sets the handlers for bytes that wait to be written.
    ///
    /// - Parameters:
    ///   - progress: called when the kernel has taken bytes that had to wait for room.
    ///   - failure: called once if the connection is broken, possibly from within `write` and `flush`. What the peer sent
    ///     before can still be read.
    package func startWriting(progress: @escaping () -> Void = {}, failure: @escaping (SystemError) -> Void) {
        precondition(writeSource == nil && !isClosed, "writing starts once")
        let source = DispatchSource.makeWriteSource(fileDescriptor: descriptor, queue: queue)
        source.setEventHandler { [weak self] in
            guard let self else { return }
            let before = unwrittenBytes
            flush()
            if !isClosed, unwrittenBytes < before { progress() }
        }
        writeSource = source
        onWriteFailure = failure
    }

    /// The number of bytes that were handed over and that the kernel has not taken.
    package var unwrittenBytes: Int {
        outgoing.count + (source?.unwrittenBytes ?? 0) + (tls?.unsentBytes ?? 0)
    }

    /// Writes what `body` appends, after everything that waits already.
    package func write(_ body: (inout ByteBuffer) -> Void) {
        precondition(source == nil, "a channel writes its own bytes or somebody else's")
        body(&outgoing)
        flush()
    }

    /// Writes the bytes that `source` keeps, without copying them. If `source` grows later, call `flush`.
    package func write(_ source: any OutgoingBytes) {
        let isThrough = self.source.map { $0 === source || $0.unwrittenBytes == 0 } ?? true
        precondition(outgoing.isEmpty && isThrough, "one source is written after the other")
        self.source = source
        flush()
    }

    /// Writes what the kernel takes now. The rest is written when it takes more.
    package func flush() {
        guard !isClosed, !hasSentFIN, !hasWriteFailed else { return }
        do throws(SystemError) {
            while !outgoing.isEmpty {
                let count = try outgoing.withUnsafeBytes { (bytes) throws(SystemError) in try writeOnce(bytes) }
                if count == 0 { return waitUntilWritable() }
                outgoing.removeFirst(count)
            }
            while let source, source.unwrittenBytes > 0 {
                var count = 0
                try source.write { (bytes) throws(SystemError) in
                    count = try writeOnce(bytes)
                    return count
                }
                if count == 0 { return waitUntilWritable() }
            }
            if let tls, try !tls.flush() { return waitUntilWritable() }
            stopWaitingToWrite()
        } catch {
            hasWriteFailed = true
            stopWaitingToWrite()
            onWriteFailure?(error)
        }
    }

    /// - Returns: the number of bytes that the kernel or the TLS session has taken; 0 if it takes none now.
    private func writeOnce(_ bytes: UnsafeRawBufferPointer) throws(SystemError) -> Int {
        if let tls {
            let count = try tls.write(bytes)
            if count > 0 { lastTraffic = .now }
            return count
        }
        let count = retryingInterrupts { send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL)) }
        if count > 0 {
            lastTraffic = .now
            return count
        }
        if count == 0 || errno == EAGAIN { return 0 }
        throw SystemError("write", errno: errno, peer: peer)
    }

    private func waitUntilWritable() {
        guard !isWriteSourceArmed, let writeSource else { return }
        isWriteSourceArmed = true
        writeSource.resume()
    }

    private func stopWaitingToWrite() {
        guard isWriteSourceArmed, let writeSource else { return }
        isWriteSourceArmed = false
        writeSource.suspend()
    }

    // MARK: Leaving

    /// Closes the write side: our FIN is sent after everything written, and with TLS after close_notify. Bytes that still
    /// wait are dropped. Reading continues.
    package func shutdownWrite() {
        guard !isClosed, !hasSentFIN else { return }
        hasSentFIN = true
        outgoing.removeAll()
        source = nil
        stopWaitingToWrite()
        tls?.close(saysSo: !hasWriteFailed)
        shutdown(descriptor, Int32(SHUT_WR))
    }

    /// Closes the socket. Unread bytes would make the kernel send RST instead of FIN, so everything that it still holds for
    /// us is read and dropped first.
    package func close() {
        guard !isClosed else { return }
        shutdownWrite()
        discardUnread()
        release { Glibc.close($0) }
    }

    /// When the first certificate of the peer expires, in Unix seconds; `nil` in plaintext.
    var certificateEnd: Int64? { tls?.certificateEnd }

    /// Gives the socket away as it is, without a FIN. `completion` gets it on the queue after no source watches it any more.
    package func detach(_ completion: @escaping (ConnectedSocket) -> Void) {
        precondition(!isClosed, "a closed channel has nothing to give away")
        let tls = tls
        release { completion(ConnectedSocket($0, tls: tls)) }
    }

    /// Cancels both sources. The descriptor may be closed or watched by others only after both have confirmed this: Dispatch
    /// removes it from its epoll set after `cancel` has returned, and would otherwise affect whoever has the number by that
    /// time.
    private func release(_ completion: @escaping (Int32) -> Void) {
        isClosed = true
        let pending = DispatchGroup()
        for source in [readSource as (any DispatchSourceProtocol)?, writeSource].compactMap({ $0 }) {
            pending.enter()
            source.setCancelHandler { pending.leave() }
            source.cancel()
        }
        // A suspended source never reaches its cancellation.
        if let writeSource, !isWriteSourceArmed { writeSource.resume() }
        if let readSource, isReadingStopped { readSource.resume() }
        rereadSource?.cancel()
        rereadSource = nil
        onReadable = {}
        readSource = nil
        writeSource = nil
        source = nil
        onWriteFailure = nil
        let descriptor = descriptor
        pending.notify(queue: queue) { completion(descriptor) }
    }

    private func discardUnread() {
        withUnsafeTemporaryAllocation(byteCount: 64 << 10, alignment: 16) { buffer in
            var left = 16 << 20
            while left > 0 {
                let count = retryingInterrupts {
                    recv(descriptor, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT))
                }
                if count <= 0 { return }
                left -= count
            }
        }
    }
}
