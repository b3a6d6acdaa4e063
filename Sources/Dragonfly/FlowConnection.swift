package import Dispatch
import Glibc
package import Link
import Synchronization
import Wire

/// Takes a flow's bytes at line speed, on the flow's queue. It never makes the flow wait.
package protocol FlowReceiver: AnyObject, Sendable {
    /// Offers free memory. `body` fills it and returns the number of bytes it wrote.
    ///
    /// - Returns: `false` if nothing more can be taken, so that the flow must be left.
    func receive(_ body: (UnsafeMutableRawBufferPointer) -> Int) -> Bool
    /// Called when no more bytes will come.
    func endOfFlow()
}

/// What a flow's connection reports to the session.
package enum FlowConnectionEvent: Sendable {
    /// The master's FIN, or the error that occurred instead.
    case ended(FlowID, ChannelError?)
    /// Memory and disk for received bytes are full.
    case overflowed(FlowID)
}

/// The connection of one flow. It is read from the first byte to the last, acknowledged once a second, and left FIN-first.
package actor FlowConnection {
    /// How often a position is acknowledged even when it did not change (Protocol 4.5).
    package static let acknowledgeInterval = DispatchTimeInterval.seconds(1)
    /// The most bytes read in one turn of the queue, so that timers and acknowledgements can run too.
    private static let turnBytes = 8 << 20
    /// How long a busy flow is read before other work of the queue can run.
    private static let longestTurn = Duration.milliseconds(10)

    private enum State {
        /// Nothing has been read but what came with the answer to `DFLY FLOW`.
        case waiting
        case reading(Channel)
        /// The master's FIN has come, or an error in its place.
        case ended(Channel)
        case closed

        var channel: Channel? {
            switch self {
            case .reading(let channel), .ended(let channel): channel
            case .waiting, .closed: nil
            }
        }
    }

    private let executor: QueueExecutor
    package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    package nonisolated let flow: FlowID
    private let receiver: any FlowReceiver
    private let onEvent: @Sendable (FlowConnectionEvent) -> Void
    private let peer: String
    private let socket: ConnectedSocket
    private let unconsumed: [UInt8]
    private let socketStore: any SocketStore
    private var state = State.waiting
    private var acknowledgeTimer: (any DispatchSourceTimer)?
    private var acknowledgeable: (@Sendable () -> LSN?)?
    private var pace = ReadPace()
    /// What arrives is read and dropped.
    private var isDiscarding = false
    private var endWaiters: [CheckedContinuation<Bool, Never>] = []
    package private(set) var receivedBytes: UInt64 = 0
    private nonisolated let lastAcknowledged = Atomic<UInt64>(0)
    /// The last acknowledged position.
    package nonisolated var acknowledged: LSN? {
        let lsn = lastAcknowledged.load(ordering: .acquiring)
        return lsn == 0 ? nil : LSN(lsn)
    }
    package nonisolated var queue: DispatchQueue { executor.queue }

    /// Takes over the socket on which `DFLY FLOW` was answered, with the bytes read after that answer.
    package init(
        flow: FlowID, socket: ConnectedSocket, unconsumed: [UInt8], peer: String, receiver: any FlowReceiver,
        socketStore: any SocketStore, onEvent: @escaping @Sendable (FlowConnectionEvent) -> Void
    ) {
        self.flow = flow
        self.socket = socket
        self.unconsumed = unconsumed
        self.peer = "\(peer) (flow \(flow))"
        self.receiver = receiver
        self.onEvent = onEvent
        self.socketStore = socketStore
        executor = QueueExecutor(label: "df2redis.flow.\(flow)")
        socketStore.keep(socket.descriptor, name: StoredSocketName.flow(flow))
    }

    /// Starts to read. Must be called before DFLY SYNC is sent.
    package func start() {
        guard case .waiting = state else { return }
        let channel = Channel(socket, peer: peer, queue: executor.queue)
        state = .reading(channel)
        channel.startWriting { [weak self] error in self?.assumeIsolated { $0.writeFailed(error) } }
        if !receiveUnconsumed() { overflow() }
        channel.startReading { [weak self] in self?.assumeIsolated { $0.readAvailable() } }
    }

    /// Hands on what was read after the answer to `DFLY FLOW`.
    ///
    /// - Returns: `false` when there is no room for it.
    private func receiveUnconsumed() -> Bool {
        receivedBytes += UInt64(unconsumed.count)
        return unconsumed.withUnsafeBytes { bytes in
            var rest = bytes[...]
            while !rest.isEmpty {
                let isReceived = receiver.receive { room in
                    let count = min(room.count, rest.count)
                    room.copyMemory(from: UnsafeRawBufferPointer(rebasing: rest.prefix(count)))
                    rest.removeFirst(count)
                    return count
                }
                if !isReceived { return false }
            }
            return true
        }
    }

    /// The source must not wait, whatever becomes of what it sends.
    private func overflow() {
        isDiscarding = true
        onEvent(.overflowed(flow))
    }

    /// Reads what has arrived. For a busy flow, also reads what arrives in the next milliseconds.
    private func readAvailable() {
        let start = ContinuousClock.now
        while case .reading(let channel) = state {
            guard case .readAll(let bytes) = readArrived(channel) else { return }
            let now = ContinuousClock.now
            guard let pause = pace.turnEnded(bytes: bytes, at: now), start.duration(to: now) < Self.longestTurn else {
                return
            }
            // The queue belongs to the flow, so nobody else waits for its thread.
            usleep(UInt32(pause.components.attoseconds / 1_000_000_000_000))
        }
    }

    /// How a turn of the queue has ended.
    private enum Turn {
        /// All that had arrived is read.
        case readAll(bytes: Int)
        /// There may be more, in another turn.
        case isLong
        /// Called when no more bytes will come.
        case ended
    }

    private func readArrived(_ channel: Channel) -> Turn {
        var turn = 0
        while turn < Self.turnBytes {
            var result: Result<Channel.ReadResult, ChannelError> = .success(.wouldBlock)
            let body = { (room: UnsafeMutableRawBufferPointer) -> Int in
                do throws(ChannelError) {
                    let outcome = try channel.read(into: room)
                    result = .success(outcome)
                    if case .bytes(let count) = outcome { return count }
                } catch {
                    result = .failure(error)
                }
                return 0
            }
            if isDiscarding {
                withUnsafeTemporaryAllocation(byteCount: 64 << 10, alignment: 16) { _ = body($0) }
            } else if !receiver.receive(body) {
                overflow()
                continue
            }
            switch result {
            case .success(.bytes(let count)):
                turn += count
                receivedBytes += UInt64(count)
            case .success(.wouldBlock): return .readAll(bytes: turn)
            case .success(.endOfStream):
                end(nil)
                return .ended
            case .failure(let error):
                end(error)
                return .ended
            }
        }
        return .isLong
    }

    private func writeFailed(_ error: SystemError) {
        // Data that the master sent before can still be read, and is handled first.
        readAvailable()
        end(.system(error))
    }

    private func end(_ error: ChannelError?) {
        guard case .reading(let channel) = state else { return }
        state = .ended(channel)
        channel.stopReading()
        stopAcknowledging()
        receiver.endOfFlow()
        onEvent(.ended(flow, error))
        resumeWaiters(hasEnded: true)
    }

    private func resumeWaiters(hasEnded: Bool) {
        for waiter in endWaiters { waiter.resume(returning: hasEnded) }
        endWaiters = []
    }

    // MARK: Acknowledging

    /// Acknowledges `position()` now and every second from now on.
    package func startAcknowledging(_ position: @escaping @Sendable () -> LSN?) {
        guard acknowledgeTimer == nil else { return }
        switch state {
        case .waiting, .reading: break
        case .ended, .closed: return
        }
        acknowledgeable = position
        let timer = DispatchSource.makeTimerSource(queue: executor.queue)
        timer.schedule(deadline: .now(), repeating: Self.acknowledgeInterval, leeway: .milliseconds(20))
        timer.setEventHandler { [weak self] in self?.assumeIsolated { $0.acknowledge() } }
        acknowledgeTimer = timer
        timer.activate()
    }

    /// Acknowledges at once, because many records have been applied since the last acknowledgement.
    package nonisolated func acknowledgeSoon() {
        executor.queue.async { [weak self] in self?.assumeIsolated { $0.acknowledge() } }
    }

    package func stopAcknowledging() {
        acknowledgeTimer?.cancel()
        acknowledgeTimer = nil
    }

    private func acknowledge() {
        guard acknowledgeTimer != nil, let channel = state.channel, !channel.hasSentFIN, let lsn = acknowledgeable?()
        else { return }
        // While an earlier acknowledgement is still unsent, none is added; a later one has a newer position anyway.
        guard channel.unwrittenBytes == 0 else { return }
        lastAcknowledged.store(lsn.value, ordering: .releasing)
        channel.write { outgoing in
            outgoing.appendCommandHead(3)
            outgoing.appendBulk("REPLCONF")
            outgoing.appendBulk("ACK")
            outgoing.appendBulk(decimal: Int64(clamping: lsn.value))
        }
    }

    // MARK: Leaving

    /// Reads and drops everything that arrives from now on.
    package func discard() { isDiscarding = true }

    /// Sends our FIN. Reading continues until the master's FIN.
    package func halfClose() {
        stopAcknowledging()
        state.channel?.shutdownWrite()
    }

    /// Waits for the master's FIN.
    ///
    /// - Returns: `false` if the FIN did not come within `limit`.
    package func waitForEnd(within limit: Duration) async -> Bool {
        if case .ended = state { return true }
        executor.queue.asyncAfter(deadline: .now() + limit.secondsAsDouble) { [weak self] in
            self?.assumeIsolated { $0.resumeWaiters(hasEnded: false) }
        }
        return await withCheckedContinuation { endWaiters.append($0) }
    }

    /// Closes the socket. No unread data is left in it, so the kernel sends no RST.
    package func close() {
        if case .closed = state { return }
        stopAcknowledging()
        let channel = state.channel ?? Channel(socket, peer: peer, queue: executor.queue)
        state = .closed
        channel.shutdownWrite()
        socketStore.release(name: StoredSocketName.flow(flow))
        channel.close()
    }
}
