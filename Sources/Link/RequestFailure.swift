package import Wire

/// Why a request has no usable reply.
package enum RequestFailure: Error, Sendable, CustomStringConvertible {
    case system(SystemError)
    /// The connection cannot be encrypted.
    case tls(TLSError)
    /// The peer speaks TLS, and we do not.
    case needsTLS(peer: String)
    /// The peer has ended the connection; `reason` is the error line that it sent before, unasked, such as
    /// `ERR max number of clients reached`.
    case closedByPeer(peer: String, reason: String?)
    case timedOut(peer: String, Duration)
    case malformedReply(peer: String, WireError)
    case closed(peer: String)
    /// Whoever waited for the reply was cancelled; the connection is as good as before.
    case cancelled(peer: String)

    package var description: String {
        switch self {
        case .system(let error): "\(error)"
        case .tls(let error): "\(error)"
        case .needsTLS(let peer): "\(peer) speaks TLS on this port"
        case .closedByPeer(let peer, nil): "\(peer) closed the connection"
        case .closedByPeer(let peer, let reason?): "\(peer) closed the connection: \(reason)"
        case .timedOut(let peer, let limit): "no answer from \(peer) within \(limit.milliseconds) ms"
        case .malformedReply(let peer, let error): "\(peer) does not speak the Redis protocol: \(error)"
        case .closed(let peer): "the connection to \(peer) is closed"
        case .cancelled(let peer): "the answer of \(peer) is no longer waited for"
        }
    }
}

extension RequestFailure {
    package init(_ error: ChannelError) {
        switch error {
        case .system(let error): self = .system(error)
        case .tls(let error): self = .tls(error)
        }
    }
}
