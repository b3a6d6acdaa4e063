package import Dispatch
import Glibc

/// One connected TCP socket and its Dispatch sources.
///
/// Not Sendable: it belongs to the owner of `queue`, and every call and every handler is on that queue. The descriptor
/// is closed once, after both sources have been cancelled.
package final class Channel {
    package enum ReadResult: Equatable {
        case bytes(Int)
        case wouldBlock
        /// The peer's FIN: nothing comes any more.
        case endOfStream
    }

    package let peer: String
    package let descriptor: Int32
    private let queue: DispatchQueue
    private var readSource: (any DispatchSourceRead)?
    private var writeSource: (any DispatchSourceWrite)?
    private var isWriteSourceArmed = false
    private var isReadingStopped = false
    package private(set) var isClosed = false
    package private(set) var hasSentFIN = false

    /// Takes over `descriptor`, a connected non-blocking socket.
    package init(descriptor: Int32, peer: String, queue: DispatchQueue) {
        self.descriptor = descriptor
        self.peer = peer
        self.queue = queue
    }

    deinit { close() }

    // MARK: Reading

    /// Calls `handler` whenever there is something to read, until `close`.
    package func startReading(_ handler: @escaping () -> Void) {
        precondition(readSource == nil && !isClosed, "reading starts once")
        let source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: queue)
        source.setEventHandler(handler: handler)
        readSource = source
        source.activate()
    }

    /// Suspends the calls of the read handler for good; the socket stays open.
    package func stopReading() {
        guard !isReadingStopped, let readSource else { return }
        isReadingStopped = true
        readSource.suspend()
    }

    package func read(into buffer: UnsafeMutableRawBufferPointer) throws(SystemError) -> ReadResult {
        precondition(!isClosed, "a closed channel is not read")
        let count = retryingInterrupts { Glibc.read(descriptor, buffer.baseAddress, buffer.count) }
        if count > 0 { return .bytes(count) }
        if count == 0 { return .endOfStream }
        if errno == EAGAIN { return .wouldBlock }
        throw SystemError("read", errno: errno, peer: peer)
    }

    /// Bytes that the kernel holds for us.
    package var unreadBytes: Int {
        var count: Int32 = 0
        return ioctl(descriptor, UInt(FIONREAD), &count) == 0 ? Int(count) : 0
    }

    // MARK: Writing

    /// Writes what the kernel takes at once.
    ///
    /// - Returns: bytes taken; 0 when it takes none now (`whenWritable` tells when it does).
    package func write(_ bytes: UnsafeRawBufferPointer) throws(SystemError) -> Int {
        precondition(!isClosed && !hasSentFIN, "nothing is written behind our FIN")
        let count = retryingInterrupts { send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL)) }
        if count >= 0 { return count }
        if errno == EAGAIN { return 0 }
        throw SystemError("write", errno: errno, peer: peer)
    }

    /// Sets the handler that `whenWritable` calls.
    package func setWriteHandler(_ handler: @escaping () -> Void) {
        precondition(writeSource == nil && !isClosed, "the write handler is set once")
        let source = DispatchSource.makeWriteSource(fileDescriptor: descriptor, queue: queue)
        source.setEventHandler(handler: handler)
        writeSource = source
    }

    /// Has the write handler called, repeatedly, while the kernel takes bytes; `stopWaitingToWrite` ends it.
    package func waitUntilWritable() {
        guard !isWriteSourceArmed, let writeSource else { return }
        isWriteSourceArmed = true
        writeSource.resume()
    }

    package func stopWaitingToWrite() {
        guard isWriteSourceArmed, let writeSource else { return }
        isWriteSourceArmed = false
        writeSource.suspend()
    }

    // MARK: Leaving

    /// Half-close: our FIN goes out behind everything written. Reading goes on.
    package func shutdownWrite() {
        guard !isClosed, !hasSentFIN else { return }
        hasSentFIN = true
        stopWaitingToWrite()
        shutdown(descriptor, Int32(SHUT_WR))
    }

    /// Closes the socket. Unread bytes would make the kernel send RST instead of FIN, so whatever it still holds for us
    /// is read and dropped first.
    package func close() {
        guard !isClosed else { return }
        shutdownWrite()
        discardUnread()
        release { Glibc.close($0) }
    }

    /// Gives the socket away as it is, without a FIN: `completion` gets it, on the queue, once no source watches it.
    package func detach(_ completion: @escaping (Int32) -> Void) {
        precondition(!isClosed, "a closed channel has nothing to give away")
        release(completion)
    }

    /// Ends both sources. Only when both have said so may the descriptor be closed or watched by others: Dispatch takes
    /// it out of its epoll set later than `cancel` returns, and would then hit whoever has the number by that time.
    private func release(_ completion: @escaping (Int32) -> Void) {
        isClosed = true
        let pending = DispatchGroup()
        for source in [readSource as (any DispatchSourceProtocol)?, writeSource].compactMap({ $0 }) {
            pending.enter()
            source.setCancelHandler { pending.leave() }
            source.cancel()
        }
        // A source that is suspended never gets to its cancellation.
        if let writeSource, !isWriteSourceArmed { writeSource.resume() }
        if let readSource, isReadingStopped { readSource.resume() }
        readSource = nil
        writeSource = nil
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
