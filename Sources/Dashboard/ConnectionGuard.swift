import Base
import NIOCore

/// The connections of a server that are open, to be closed when it stops.
final class OpenConnections: Sendable {
    private let channels = Lock<[ObjectIdentifier: any Channel]>([:])

    var count: Int { channels.withLock { $0.count } }

    func insert(_ channel: any Channel) {
        channels.withLock { $0[ObjectIdentifier(channel)] = channel }
        channel.closeFuture.whenComplete { [self] _ in
            channels.withLock { $0[ObjectIdentifier(channel)] = nil }
        }
    }

    func closeAll() {
        for channel in channels.withLock({ Array($0.values) }) { channel.close(promise: nil) }
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
