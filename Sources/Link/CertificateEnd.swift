import COpenSSL
import Glibc

/// Finds out when certificates expire.
package enum CertificateEnd {
    /// - Parameter path: a file with a certificate and those between it and its authority (PEM).
    /// - Returns: the first expiry among them, in Unix seconds; `nil` if there is none to be read.
    package static func first(inFile path: String) -> Int64? {
        guard let file = BIO_new_file(path, "r") else {
            ERR_clear_error()
            return nil
        }
        defer {
            BIO_free(file)
            // The end of the file is an error of its own.
            ERR_clear_error()
        }
        var first: Int64?
        while let certificate = PEM_read_bio_X509(file, nil, nil, nil) {
            if let end = end(of: certificate) { first = min(first ?? end, end) }
            X509_free(certificate)
        }
        return first
    }

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
