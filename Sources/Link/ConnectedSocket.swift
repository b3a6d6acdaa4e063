/// A connected, non-blocking socket, and what encrypts it: everything that a channel needs to go on with a connection.
package struct ConnectedSocket: Sendable {
    package let descriptor: Int32
    /// `nil`: plaintext.
    package let tls: TLSSession?

    package init(_ descriptor: Int32, tls: TLSSession? = nil) {
        self.descriptor = descriptor
        self.tls = tls
    }
}
