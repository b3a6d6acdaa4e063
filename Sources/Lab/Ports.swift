import Foundation

/// Returns a TCP port of 127.0.0.1 that nothing listened on a moment ago.
///
/// The kernel assigns it to a socket that is closed again at once, so another process may take it before the server
/// does. A caller that starts a server on it must be ready to try again with another port.
package func freePort() throws -> UInt16 {
    try Listener().port
}

/// The address of `port` on 127.0.0.1.
func loopback(port: UInt16) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = INADDR_LOOPBACK.bigEndian
    return address
}
