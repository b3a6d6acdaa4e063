import Foundation

/// A TCP port of 127.0.0.1 that nothing listened on a moment ago.
///
/// The kernel gives it out for a socket that is closed again at once, so somebody else may take it before the server
/// does: whoever starts a server on it tries again with another.
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
