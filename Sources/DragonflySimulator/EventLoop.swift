import Glibc

/// The only thread of a simulated master: it polls all sockets and runs the core's turns.
///
/// The core is accessed only under `lock`, which the thread holds except while it polls. `withCore` wakes the thread.
final class EventLoop: @unchecked Sendable {  // the core is touched under `lock` only
    private let core: MasterCore
    private let listener: Int32
    private let wakeup: (read: Int32, write: Int32)
    private let lock: UnsafeMutablePointer<pthread_mutex_t>
    private var thread: pthread_t?
    private var isStopping = false

    let port: UInt16

    init(core: MasterCore) throws {
        self.core = core
        (listener, port) = try Sockets.listen(
            port: core.options.port, onAllAddresses: core.options.listensOnAllAddresses)
        do {
            wakeup = try Sockets.wakeupPipe()
        } catch {
            close(listener)
            throw error
        }
        lock = .allocate(capacity: 1)
        pthread_mutex_init(lock, nil)
    }

    deinit {
        pthread_mutex_destroy(lock)
        lock.deallocate()
    }

    func start() throws {
        let context = Unmanaged.passRetained(self).toOpaque()
        var thread = pthread_t()
        let code = pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                let loop = Unmanaged<EventLoop>.fromOpaque(context).takeRetainedValue()
                loop.run()
                return nil
            }, context)
        guard code == 0 else {
            Unmanaged<EventLoop>.fromOpaque(context).release()
            errno = code
            throw SocketError("pthread_create")
        }
        self.thread = thread
    }

    /// Ends the thread and closes every descriptor. Called once.
    func stop() {
        pthread_mutex_lock(lock)
        wake()
        isStopping = true
        pthread_mutex_unlock(lock)
        if let thread { pthread_join(thread, nil) }
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        thread = nil
        close(listener)
        close(wakeup.read)
        close(wakeup.write)
        for connection in core.connections {
            connection.close()
            core.finished.append(connection.observation)
        }
        core.connections = []
        core.sessions = []
    }

    /// Runs `body` between two turns and wakes the loop, so that it sends at once what `body` queued.
    func withCore<Result>(_ body: (MasterCore) throws -> Result) rethrows -> Result {
        pthread_mutex_lock(lock)
        defer {
            wake()
            pthread_mutex_unlock(lock)
        }
        core.now = .now
        return try body(core)
    }

    /// Reads from the core without waking the loop.
    func look<Result>(_ body: (MasterCore) throws -> Result) rethrows -> Result {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        return try body(core)
    }

    /// Wakes the thread. The caller holds the lock, so that the pipe is not closed meanwhile.
    private func wake() {
        if isStopping { return }
        // If the pipe is full, the write fails, but the thread wakes anyway.
        var byte: UInt8 = 1
        _ = write(wakeup.write, &byte, 1)
    }

    private func run() {
        var polled: [pollfd] = []
        var ids: [Int] = []
        var drained = [UInt8](repeating: 0, count: 256)
        pthread_mutex_lock(lock)
        while !isStopping {
            polled = [
                pollfd(fd: listener, events: Int16(POLLIN), revents: 0),
                pollfd(fd: wakeup.read, events: Int16(POLLIN), revents: 0),
            ]
            ids = []
            for connection in core.connections {
                let events = core.interest(in: connection)
                // A connection that waits for no event is left out, because POLLHUP cannot be masked.
                if events == 0 { continue }
                polled.append(pollfd(fd: connection.descriptor, events: events, revents: 0))
                ids.append(connection.id)
            }
            let timeout = core.nextTurn.map { Int32($0 / .milliseconds(1)) } ?? -1
            pthread_mutex_unlock(lock)
            let count = poll(&polled, nfds_t(polled.count), timeout)
            pthread_mutex_lock(lock)
            if isStopping { break }
            if count < 0 { continue }
            if polled[1].revents != 0 {
                while read(wakeup.read, &drained, drained.count) == drained.count {}
            }
            if polled[0].revents != 0 {
                while let descriptor = Sockets.accept(listener) { core.accept(descriptor) }
            }
            var readable = Set<Int>()
            for (index, id) in ids.enumerated() where polled[index + 2].revents & ~Int16(POLLOUT) != 0 {
                readable.insert(id)
            }
            core.turn(readable: readable)
        }
        pthread_mutex_unlock(lock)
    }
}

extension MasterCore {
    /// The events that a connection waits for.
    func interest(in connection: Connection) -> Int16 {
        guard !connection.observation.isClosed, !connection.isStalled else { return 0 }
        var events: Int16 = 0
        let isHeldBack = connection.observation.role == .client && (isFrozen || areWritersBlocked)
        if !connection.isReadingOver, !isHeldBack { events |= Int16(POLLIN) }
        if connection.isBlocked, !connection.observation.sentFIN, !connection.output.isEmpty {
            events |= Int16(POLLOUT)
        }
        return events
    }
}
