import NIOCore

/// Limits what one client can cost: the bytes that it sends before it gets an answer, and the time until an answer has gone
/// out.
///
/// The handler counts bytes below HTTP, because the decoder limits headers, but neither a URL nor a body. A client that
/// sends slowly, reads slowly or does nothing is disconnected in the same way.
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
