import COpenSSL
import Foundation

/// A certificate and its private key in PEM files, which are removed with their last owner.
package struct CertificateFiles: Sendable {
    fileprivate let folder: TemporaryFolder
    package let certificate: String
    package let key: String
}

/// A certificate authority that issues certificates for servers and clients on this machine.
package final class CertificateAuthority {
    private let folder: TemporaryFolder
    private let name: String
    private let pair: Pair
    private var issued = 0
    /// The file with the authority's own certificate.
    package let file: String

    /// A certificate in memory, with its key.
    private final class Pair {
        let certificate: OpaquePointer
        let key: OpaquePointer

        init() throws {
            guard let certificate = X509_new(), let key = df2redis_generate_key() else {
                throw LabError("OpenSSL makes no key")
            }
            (self.certificate, self.key) = (certificate, key)
        }

        deinit {
            X509_free(certificate)
            EVP_PKEY_free(key)
        }
    }

    /// - Parameter seconds: the validity of its own certificate, in seconds from now.
    package init(_ name: String = "df2redis lab CA", seconds: ClosedRange<Int> = -3600...86_400) throws {
        folder = try TemporaryFolder("certificates")
        self.name = name
        file = folder.file("ca.pem")
        pair = try Pair()
        try Self.fill(pair, name, seconds: seconds, issuer: pair, isAuthority: true, names: nil)
        try Self.write(to: file) { PEM_write_bio_X509($0, pair.certificate) }
    }

    /// Issues a certificate.
    ///
    /// - Parameters:
    ///   - names: its subject alternative names, in the syntax of `openssl`.
    ///   - seconds: its validity, in seconds from now.
    ///   - isSelfSigned: signs it with its own key instead of the authority's.
    ///   - passphrase: encrypts its key.
    package func issue(
        _ subject: String = "server", names: String = "IP:127.0.0.1,DNS:localhost",
        seconds: ClosedRange<Int> = -3600...(100 * 86_400), isSelfSigned: Bool = false, passphrase: String? = nil
    ) throws -> CertificateFiles {
        let leaf = try Pair()
        try Self.fill(
            leaf, subject, seconds: seconds, issuer: isSelfSigned ? leaf : pair, isAuthority: false, names: names)
        issued += 1
        let files = CertificateFiles(
            folder: folder, certificate: folder.file("\(issued).pem"), key: folder.file("\(issued).key"))
        try Self.write(to: files.certificate) { PEM_write_bio_X509($0, leaf.certificate) }
        try Self.write(to: files.key) { file in
            guard let passphrase else { return PEM_write_bio_PrivateKey(file, leaf.key, nil, nil, 0, nil, nil) }
            var bytes = Array(passphrase.utf8)
            return PEM_write_bio_PrivateKey(
                file, leaf.key, EVP_aes_256_cbc(), &bytes, Int32(bytes.count), nil, nil)
        }
        return files
    }

    private static func fill(
        _ pair: Pair, _ subject: String, seconds: ClosedRange<Int>, issuer: Pair, isAuthority: Bool, names: String?
    ) throws {
        let certificate = pair.certificate
        X509_set_version(certificate, 2)
        ASN1_INTEGER_set(X509_get_serialNumber(certificate), Int.random(in: 1 ... .max))
        X509_gmtime_adj(X509_getm_notBefore(certificate), seconds.lowerBound)
        X509_gmtime_adj(X509_getm_notAfter(certificate), seconds.upperBound)
        X509_set_pubkey(certificate, pair.key)
        X509_NAME_add_entry_by_txt(
            X509_get_subject_name(certificate), "CN", MBSTRING_UTF8, Array(subject.utf8), Int32(subject.utf8.count),
            -1, 0)
        X509_set_issuer_name(certificate, X509_get_subject_name(issuer.certificate))
        var extensions = [(NID_basic_constraints, isAuthority ? "critical,CA:TRUE" : "critical,CA:FALSE")]
        if isAuthority { extensions.append((NID_key_usage, "critical,keyCertSign,cRLSign")) }
        if let names { extensions.append((NID_subject_alt_name, names)) }
        for (kind, value) in extensions {
            guard let made = X509V3_EXT_conf_nid(nil, nil, kind, value) else {
                throw LabError("OpenSSL does not take '\(value)'")
            }
            X509_add_ext(certificate, made, -1)
            X509_EXTENSION_free(made)
        }
        guard X509_sign(certificate, issuer.key, EVP_sha256()) > 0 else { throw LabError("OpenSSL signs nothing") }
    }

    private static func write(to path: String, _ body: (OpaquePointer) -> Int32) throws {
        guard let file = BIO_new_file(path, "w") else { throw LabError("cannot write \(path)") }
        defer { BIO_free(file) }
        guard body(file) == 1 else { throw LabError("OpenSSL does not write \(path)") }
    }
}
