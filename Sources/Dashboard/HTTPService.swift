import HTTPTypes
import HummingbirdCore
import Logging
import NIOCore

/// The HTTP/1.1 side of one listening socket: a bounded pipeline for each connection, and one responder.
struct HTTPService: ServerChildChannel {
    typealias Value = HTTP1Channel.Value

    private let http: HTTP1Channel
    private let limits: ConnectionLimits
    private let open: OpenConnections

    init(
        limits: ConnectionLimits, open: OpenConnections, takesBodies: Bool,
        respond: @escaping @Sendable (HTTPRequest, _ body: [UInt8]) async -> Response
    ) {
        self.limits = limits
        self.open = open
        var configuration = HTTP1Channel.Configuration()
        configuration.httpDecoder = .init(
            maxHeaderFieldSize: limits.headerBytes, maxHeaderListSize: limits.headerBytes,
            maxHeaderFieldCount: limits.headerCount)
        http = HTTP1Channel(
            responder: { request, writer, _ in
                // `ConnectionGuard` limits below HTTP what a client may send.
                let body =
                    takesBodies && request.method == .post
                    ? try await request.body.collect(upTo: limits.requestBytes) : ByteBuffer()
                let response = await respond(request.head, Array(body.readableBytesView))
                try await writer.write(
                    response: response.head, body: request.method == .head ? ResponseBody() : response.body)
            },
            configuration: configuration)
    }

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        guard open.insert(channel) else {
            channel.close(promise: nil)
            return channel.eventLoop.makeFailedFuture(ChannelError.ioOnClosedChannel)
        }
        let ready = channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(ConnectionGuard(limits))
        }.flatMap { http.setup(channel: channel, logger: logger) }
        ready.whenFailure { [open] _ in open.noteHandled() }
        return ready
    }

    func handle(value: Value, logger: Logger) async {
        open.noteHandled()
        await http.handle(value: value, logger: logger)
    }
}
