/// A connected, non-blocking socket and its TLS session: everything that a channel needs to take over a connection.
package struct ConnectedSocket: Sendable {
    package let descriptor: Int32
    /// The TLS session; `nil` for plaintext.
    package let tls: TLSSession?

    package init(_ descriptor: Int32, tls: TLSSession? = nil) {
        self.descriptor = descriptor
        self.tls = tls
    }
}
