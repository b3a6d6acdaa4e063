package import Dispatch
import Glibc
package import Link
import Synchronization
import Wire

/// Takes a flow's bytes at line speed, on the flow's queue. It never makes the flow wait.
package protocol FlowReceiver: AnyObject, Sendable {
    /// Offers free memory; `body` fills it and answers how many bytes it wrote.
    ///
    /// - Returns: `false` when nothing more can be taken: the flow must be left.
    func receive(_ body: (UnsafeMutableRawBufferPointer) -> Int) -> Bool
    /// Nothing comes any more.
    func endOfFlow()
}

/// What a flow's connection reports to the session.
package enum FlowConnectionEvent: Sendable {
    /// The master's FIN, or the error that took its place.
    case ended(FlowID, ChannelError?)
    /// Memory and disk for what has been received are spent.
    case overflowed(FlowID)
}

/// The connection of one flow: read from the first byte to the last, acknowledged once a second, left FIN-first.
package actor FlowConnection {
    /// How often a position is acknowledged even when it did not change (Protocol 4.5).
    package static let acknowledgeInterval = DispatchTimeInterval.seconds(1)
    /// What is read in one turn of the queue, so that timers and acknowledgements get their turn too.
    private static let turnBytes = 8 << 20
    /// How long a busy flow is read before others get their turn.
    private static let longestTurn = Duration.milliseconds(10)

    private let executor: QueueExecutor
    package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    package nonisolated let flow: FlowID
    private let receiver: any FlowReceiver
    private let onEvent: @Sendable (FlowConnectionEvent) -> Void
    private let peer: String
    private let socket: ConnectedSocket
    private let unconsumed: [UInt8]
    private let socketStore: any SocketKeeper
    private var isClosed = false
    private var channel: Channel?
    private var acknowledgeTimer: (any DispatchSourceTimer)?
    private var acknowledgeable: (@Sendable () -> LSN?)?
    private var pace = ReadPace()
    private var isDiscarding = false
    private var hasEnded = false
    private var endWaiters: [CheckedContinuation<Void, Never>] = []
    package private(set) var receivedBytes: UInt64 = 0
    private nonisolated let lastAcknowledged = Atomic<UInt64>(0)
    /// The last position acknowledged.
    package nonisolated var acknowledged: LSN? {
        let lsn = lastAcknowledged.load(ordering: .acquiring)
        return lsn == 0 ? nil : LSN(lsn)
    }
    package nonisolated var queue: DispatchQueue { executor.queue }

    /// Takes over the socket on which `DFLY FLOW` was answered, with the bytes read after that answer.
    package init(
        flow: FlowID, socket: ConnectedSocket, unconsumed: [UInt8], peer: String, receiver: any FlowReceiver,
        socketStore: any SocketKeeper, onEvent: @escaping @Sendable (FlowConnectionEvent) -> Void
    ) {
        self.flow = flow
        self.socket = socket
        self.unconsumed = unconsumed
        self.peer = "\(peer) (flow \(flow))"
        self.receiver = receiver
        self.onEvent = onEvent
        self.socketStore = socketStore
        executor = QueueExecutor(label: "df2redis.flow.\(flow)")
        socketStore.keep(socket.descriptor, name: KeptSocketName.flow(flow))
    }

    /// Begins to read: before DFLY SYNC is sent.
    package func start() {
        guard !isClosed else { return }
        let channel = Channel(socket, peer: peer, queue: executor.queue)
        self.channel = channel
        channel.startWriting { [weak self] error in self?.assumeIsolated { $0.writeFailed(error) } }
        if !unconsumed.isEmpty {
            receivedBytes += UInt64(unconsumed.count)
            unconsumed.withUnsafeBytes { bytes in
                var rest = UnsafeRawBufferPointer(rebasing: bytes[...])
                while !rest.isEmpty {
                    var taken = 0
                    guard
                        receiver.receive({ room in
                            taken = min(room.count, rest.count)
                            room.copyMemory(from: UnsafeRawBufferPointer(rebasing: rest[..<taken]))
                            return taken
                        })
                    else {
                        // As in `readArrived`: the source must not wait, whatever becomes of what it sends.
                        isDiscarding = true
                        onEvent(.overflowed(flow))
                        return
                    }
                    rest = UnsafeRawBufferPointer(rebasing: rest[taken...])
                }
            }
        }
        channel.startReading { [weak self] in self?.assumeIsolated { $0.readAvailable() } }
    }

    /// Reads what has arrived; of a busy flow what arrives in the next milliseconds, too.
    private func readAvailable() {
        let start = ContinuousClock.now
        while let channel, !hasEnded {
            guard let bytes = readArrived(channel), !hasEnded else { return }
            let now = ContinuousClock.now
            guard let pause = pace.turnEnded(bytes: bytes, at: now), start.duration(to: now) < Self.longestTurn else {
                return
            }
            // The queue is the flow's own: nobody else waits for its thread.
            usleep(UInt32(pause.components.attoseconds / 1_000_000_000_000))
        }
    }

    /// - Returns: how many bytes there were; `nil` when there are more, or will be none.
    private func readArrived(_ channel: Channel) -> Int? {
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
                isDiscarding = true
                onEvent(.overflowed(flow))
                continue
            }
            switch result {
            case .success(.bytes(let count)):
                turn += count
                receivedBytes += UInt64(count)
            case .success(.wouldBlock): return turn
            case .success(.endOfStream):
                end(nil)
                return nil
            case .failure(let error):
                end(error)
                return nil
            }
        }
        return nil
    }

    private func writeFailed(_ error: SystemError) {
        // What the master sent before can still be read, and comes first.
        readAvailable()
        end(.system(error))
    }

    private func end(_ error: ChannelError?) {
        guard !hasEnded else { return }
        hasEnded = true
        channel?.stopReading()
        stopAcknowledging()
        receiver.endOfFlow()
        onEvent(.ended(flow, error))
        for waiter in endWaiters { waiter.resume() }
        endWaiters = []
    }

    // MARK: Acknowledging

    /// Acknowledges `position()` now and every second from now on.
    package func startAcknowledging(_ position: @escaping @Sendable () -> LSN?) {
        guard acknowledgeTimer == nil, !hasEnded else { return }
        acknowledgeable = position
        let timer = DispatchSource.makeTimerSource(queue: executor.queue)
        timer.schedule(deadline: .now(), repeating: Self.acknowledgeInterval, leeway: .milliseconds(20))
        timer.setEventHandler { [weak self] in self?.assumeIsolated { $0.acknowledge() } }
        acknowledgeTimer = timer
        timer.activate()
    }

    /// Acknowledges at once: many records have been applied since the last time.
    package nonisolated func acknowledgeSoon() {
        executor.queue.async { [weak self] in self?.assumeIsolated { $0.acknowledge() } }
    }

    package func stopAcknowledging() {
        acknowledgeTimer?.cancel()
        acknowledgeTimer = nil
    }

    private func acknowledge() {
        guard acknowledgeTimer != nil, let channel, !channel.hasSentFIN, let lsn = acknowledgeable?() else { return }
        // An unsent acknowledgement is worth nothing once there is a newer one.
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

    /// From here on what arrives is read and dropped.
    package func discard() { isDiscarding = true }

    /// Our FIN. Reading goes on until the master's.
    package func halfClose() {
        stopAcknowledging()
        channel?.shutdownWrite()
    }

    /// Waits for the master's FIN.
    ///
    /// - Returns: `false` when it did not come within `limit`.
    package func waitForEnd(within limit: Duration) async -> Bool {
        if hasEnded { return true }
        executor.queue.asyncAfter(deadline: .now() + limit.secondsAsDouble) { [weak self] in
            self?.assumeIsolated {
                for waiter in $0.endWaiters { waiter.resume() }
                $0.endWaiters = []
            }
        }
        await withCheckedContinuation { endWaiters.append($0) }
        return hasEnded
    }

    /// Closes the socket; nothing unread is left in it, so the kernel sends no RST.
    package func close() {
        guard !isClosed else { return }
        isClosed = true
        stopAcknowledging()
        let channel = channel ?? Channel(socket, peer: peer, queue: executor.queue)
        channel.shutdownWrite()
        socketStore.release(name: KeptSocketName.flow(flow))
        channel.close()
        self.channel = nil
    }
}
