import COpenSSL

/// The certificate of a server's chain that did not pass verification, and the reason.
struct CertificateRefusal {
    /// `X509_V_ERR_...`
    let code: Int32
    /// The position in the chain: 0 for the server's own certificate, greater for its authorities.
    let depth: Int32
    let subject: String
    let issuer: String
    /// The names and addresses for which the certificate is valid.
    let names: String
    let begin: String
    let end: String

    /// - Parameter store: the context of a verification that has just failed.
    init(_ store: OpaquePointer) {
        code = X509_STORE_CTX_get_error(store)
        depth = X509_STORE_CTX_get_error_depth(store)
        let certificate = X509_STORE_CTX_get_current_cert(store)
        subject = Self.printed { df2redis_print_name($0, X509_get_subject_name(certificate)) }
        issuer = Self.printed { df2redis_print_name($0, X509_get_issuer_name(certificate)) }
        names = Self.names(of: certificate) ?? subject
        begin = Self.printed { ASN1_TIME_print($0, X509_get0_notBefore(certificate)) }
        end = Self.printed { ASN1_TIME_print($0, X509_get0_notAfter(certificate)) }
    }

    private static func names(of certificate: OpaquePointer?) -> String? {
        let place = X509_get_ext_by_NID(certificate, NID_subject_alt_name, -1)
        guard place >= 0, let names = X509_get_ext(certificate, place) else { return nil }
        return printed { X509V3_EXT_print($0, names, 0, 0) }
    }

    private static func printed(_ print: (OpaquePointer) -> Int32) -> String {
        guard let memory = BIO_new(BIO_s_mem()) else { return "?" }
        defer { BIO_free(memory) }
        _ = print(memory)
        var text = [UInt8](repeating: 0, count: 512)
        let count = BIO_read(memory, &text, Int32(text.count))
        return count > 0 ? String(decoding: text.prefix(Int(count)), as: UTF8.self) : "no name"
    }

    /// - Parameter name: the name that the certificate should have carried.
    func error(peer: String, name: String, _ settings: TLSSettings) -> TLSError {
        let section = settings.section
        let whose =
            depth == 0
            ? "the certificate of \(peer) (\(subject))"
            : "the certificate of the authority \(subject), which vouches for \(peer),"
        let authorities = settings.caFile.map { "those in \($0) (\(section).caFile)" } ?? "the system's"
        func refused(_ text: String) -> TLSError { TLSError(.certificate, text) }
        switch code {
        case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
            return refused(
                "\(whose) is self-signed and not among \(authorities): set \(section).caFile to a copy of it, if it is right"
            )
        case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
            X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE,
            X509_V_ERR_CERT_UNTRUSTED, X509_V_ERR_CERT_SIGNATURE_FAILURE:
            let unknown = depth > 0 && subject == issuer ? subject : issuer
            return refused(
                "the certificate of \(peer) comes from an authority that is not trusted (\(unknown)), being none of \(authorities): set \(section).caFile to that authority's certificate"
            )
        case X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH:
            let remedy =
                settings.serverName == nil
                ? "connect to one of these, or name one in \(section).serverName"
                : "correct \(section).serverName"
            return refused("the certificate of \(peer) is for \(names), and not for \(name): \(remedy)")
        case X509_V_ERR_CERT_HAS_EXPIRED:
            return refused("\(whose) has expired at \(end): it has to be renewed there")
        case X509_V_ERR_CERT_NOT_YET_VALID:
            return refused("\(whose) is not valid before \(begin): is the clock of this machine right?")
        default:
            let reason = String(cString: X509_verify_cert_error_string(Int(code)))
            return refused("\(whose) does not pass with \(authorities) (\(section).caFile): \(reason)")
        }
    }
}
