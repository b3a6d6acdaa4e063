/// The address that the page listens on.
package enum ListenAddress: Sendable, Equatable {
    case none
    /// The first free port from here on, for several tasks on one machine.
    case firstFree(host: String, port: UInt16)
    /// Only this address, however long it is in use. An empty host means all interfaces, port 0 any port.
    case fixed(host: String, port: UInt16)

    /// The number of ports to try before any free port is taken.
    private static let span: UInt16 = 100

    /// The ports of one attempt, in order.
    var ports: [UInt16] {
        switch self {
        case .none: []
        case .fixed(_, let port): [port]
        case .firstFree(_, let port): (0..<Self.span).map { port + $0 } + [0]
        }
    }

    /// The hosts of one attempt. For all interfaces they are IPv6's, which include IPv4, and then IPv4's if there is no
    /// IPv6.
    var hosts: [String] {
        switch self {
        case .none: []
        case .fixed(let host, _), .firstFree(let host, _): host.isEmpty ? ["::", "0.0.0.0"] : [host]
        }
    }

    package var description: String {
        switch self {
        case .none: "none"
        case .fixed(let host, let port), .firstFree(let host, let port): Self.text(host, port)
        }
    }

    static func text(_ host: String, _ port: UInt16) -> String {
        host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }
}
