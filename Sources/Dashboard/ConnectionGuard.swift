import Base
import NIOCore

/// The connections of a server that are open, to be closed when it stops.
///
/// A connection that has been made ready and that nobody handles ends the process (`NIOAsyncWriter`), so a server that stops
/// makes no more ready, and lets those be handled first that are.
final class OpenConnections: Sendable {
    private struct State {
        var channels: [ObjectIdentifier: any Channel] = [:]
        /// Connections that are not handled yet.
        var unhandled = 0
        var isStopping = false
    }

    private static let pause = Duration.milliseconds(5)
    private static let handlingLimit = Duration.seconds(1)

    private let state = Lock(State())

    var count: Int { state.withLock { $0.channels.count } }

    /// - Returns: `false` when no more are taken.
    func insert(_ channel: any Channel) -> Bool {
        let isTaken = state.withLock { state in
            if state.isStopping { return false }
            state.channels[ObjectIdentifier(channel)] = channel
            state.unhandled += 1
            return true
        }
        if isTaken {
            channel.closeFuture.whenComplete { [self] _ in
                state.withLock { $0.channels[ObjectIdentifier(channel)] = nil }
            }
        }
        return isTaken
    }

    /// A connection that was inserted is handled, or will never be ready.
    func noteHandled() { state.withLock { $0.unhandled -= 1 } }

    /// Takes no more connections, and waits until those that were taken are handled.
    func stop() async {
        state.withLock { $0.isStopping = true }
        let deadline = ContinuousClock.now + Self.handlingLimit
        while state.withLock({ $0.unhandled > 0 }), ContinuousClock.now < deadline {
            try? await Task.sleep(for: Self.pause)
        }
    }

    func closeAll() {
        for channel in state.withLock({ Array($0.channels.values) }) { channel.close(promise: nil) }
    }
}

/// Bounds what one client can cost: so many bytes until it gets an answer, and so much time until an answer has gone out.
///
/// It sees bytes, before HTTP does: the decoder bounds headers, but neither a URL nor a body. A client that sends slowly,
/// reads slowly or does nothing is closed alike.
final class ConnectionGuard: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = IOData
    typealias OutboundOut = IOData

    private let limit: ConnectionLimits
    private var bytesSinceAnswer = 0
    private var lastAnswer = NIODeadline.now()
    private var check: Scheduled<Void>?

    init(_ limit: ConnectionLimits) { self.limit = limit }

    func handlerAdded(context: ChannelHandlerContext) {
        lastAnswer = .now()
        schedule(context)
    }

    func handlerRemoved(context: ChannelHandlerContext) { check?.cancel() }

    private func schedule(_ context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        check = context.eventLoop.scheduleTask(deadline: lastAnswer + TimeAmount(limit.answerTime)) {
            let (handler, context) = bound.value
            if NIODeadline.now() >= handler.lastAnswer + TimeAmount(handler.limit.answerTime) {
                context.close(promise: nil)
            } else {
                handler.schedule(context)
            }
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        bytesSinceAnswer += unwrapInboundIn(data).readableBytes
        guard bytesSinceAnswer <= limit.requestBytes else { return context.close(promise: nil) }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        bytesSinceAnswer = 0
        let promise = promise ?? context.eventLoop.makePromise(of: Void.self)
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        promise.futureResult.whenSuccess { bound.value.lastAnswer = .now() }
        context.write(data, promise: promise)
    }
}

/// What one client, and all of them, may cost.
package struct ConnectionLimits: Sendable {
    package var connections = 64
    /// Of a request, with its headers; several that are sent at once count together.
    package var requestBytes = 64 << 10
    package var headerBytes = 16 << 10
    package var headerCount = 64
    /// From the connection, or the last answer, until the next answer has been taken.
    package var answerTime = Duration.seconds(20)

    package init() {}
}
