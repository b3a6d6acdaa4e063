import COpenSSL
import Glibc

/// Finds out when the certificates of a server expire.
enum CertificateEnd {
    /// - Parameter ssl: an `SSL` after its handshake.
    /// - Returns: the first expiry among the server's certificate and those above it, in Unix seconds.
    static func first(of ssl: OpaquePointer) -> Int64? {
        // Without verification there is only the chain that the server has sent, including its own certificate.
        guard let chain = SSL_get0_verified_chain(ssl) ?? SSL_get_peer_cert_chain(ssl) else { return nil }
        return (0..<OPENSSL_sk_num(chain)).compactMap { place in
            OPENSSL_sk_value(chain, place).flatMap { end(of: OpaquePointer($0)) }
        }.min()
    }

    private static func end(of certificate: OpaquePointer) -> Int64? {
        var time = tm()
        guard ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &time) == 1 else { return nil }
        return Int64(timegm(&time))
    }
}
