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
    private var isReadSourceSuspended = false
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

    /// Ends the calls of the read handler; the socket stays open.
    package func stopReading() {
        readSource?.cancel()
        readSource = nil
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
        isClosed = true
        discardUnread()
        releaseSources()
    }

    private func releaseSources() {
        isClosed = true
        readSource?.cancel()
        readSource = nil
        if let writeSource {
            writeSource.cancel()
            if !isWriteSourceArmed { writeSource.resume() }  // a suspended source must not be released
        }
        writeSource = nil
        let descriptor = descriptor
        // The sources read the descriptor until their cancellation has run, which is on this queue.
        queue.async { Glibc.close(descriptor) }
    }

    /// Gives the socket away: a duplicate of the descriptor that the caller owns, while this channel ends without a FIN.
    package func detachDescriptor() -> Int32? {
        guard !isClosed else { return nil }
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else { return nil }
        hasSentFIN = true  // not sent: it is the new owner's to send
        releaseSources()
        return copy
    }

    private func discardUnread() {
        withUnsafeTemporaryAllocation(byteCount: 64 << 10, alignment: 16) { buffer in
            var left = 16 << 20
            while left > 0 {
                let count = retryingInterrupts { recv(descriptor, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT)) }
                if count <= 0 { return }
                left -= count
            }
        }
    }
}
