import COpenSSL

extension TLSSession {
    /// Explains an error of OpenSSL.
    ///
    /// - Parameter error: the first error in OpenSSL's queue; 0 if there is none.
    func explanation(of error: UInt, hasReceivedFIN: Bool) -> TLSError {
        if let refusal { return refusal.error(peer: peer, name: expectedName, settings) }
        if !isEstablished, let first = firstBytes.first, !Self.beginsRecord(first) {
            return .plaintext(peer: peer, answer: firstBytes, settings)
        }
        let alert = df2redis_alert(error)
        if alert != 0, let error = explanation(ofAlert: alert) { return error }
        switch ERR_GET_REASON(error) {
        case SSL_R_UNSUPPORTED_PROTOCOL, SSL_R_WRONG_SSL_VERSION, SSL_R_WRONG_VERSION_NUMBER, SSL_R_VERSION_TOO_LOW:
            return TLSError(.version, "\(peer) speaks neither TLS 1.2 nor 1.3: raise the version there")
        default: break
        }
        if !isEstablished, hasReceivedFIN {
            return TLSError(
                .unanswered,
                "\(peer) closed the connection during the TLS handshake: if it does not speak TLS on this port, set \(settings.section).enabled to false or connect to its TLS port"
            )
        }
        let reason = ERR_reason_error_string(error).map { String(cString: $0) } ?? "no reason given"
        return TLSError(.unanswered, "TLS with \(peer) has failed: \(reason)")
    }

    /// Whether a byte is a record type: change of cipher 20, alert 21, handshake 22, data 23.
    private static func beginsRecord(_ byte: UInt8) -> Bool { (20...23).contains(byte) }

    /// - Parameter alert: the alert that the peer sent before it ended the session.
    private func explanation(ofAlert alert: Int32) -> TLSError? {
        let section = settings.section
        func refused(_ why: String) -> TLSError {
            guard let file = settings.certificateFile else { return required }
            return TLSError(
                .clientCertificate, "\(peer) refuses our certificate (\(file), \(section).certFile): \(why)")
        }
        var required: TLSError {
            TLSError(
                .clientCertificate,
                "\(peer) requires a client certificate: set \(section).certFile and \(section).keyFile to one that it trusts"
            )
        }
        switch alert {
        case TLS13_AD_CERTIFICATE_REQUIRED: return required
        // TLS 1.2 has no more specific alert for a missing certificate.
        case SSL3_AD_HANDSHAKE_FAILURE where isAskedForCertificate && settings.certificateFile == nil: return required
        case SSL3_AD_HANDSHAKE_FAILURE, TLS1_AD_INSUFFICIENT_SECURITY:
            return TLSError(
                .version, "\(peer) has no cipher in common with us: allow the usual ones of TLS 1.2 or 1.3 there")
        case TLS1_AD_PROTOCOL_VERSION:
            return TLSError(.version, "\(peer) speaks neither TLS 1.2 nor 1.3: raise the version there")
        case SSL3_AD_CERTIFICATE_EXPIRED: return refused("it has expired, or its authority's has")
        case SSL3_AD_CERTIFICATE_REVOKED: return refused("it has been revoked")
        case TLS1_AD_UNKNOWN_CA: return refused("its authority is not trusted there")
        case SSL3_AD_BAD_CERTIFICATE, SSL3_AD_UNSUPPORTED_CERTIFICATE, SSL3_AD_CERTIFICATE_UNKNOWN,
            TLS1_AD_ACCESS_DENIED, TLS1_AD_DECRYPT_ERROR:
            let reason = SSL_alert_desc_string_long(alert).map { String(cString: $0) } ?? "alert \(alert)"
            return refused(reason)
        case TLS1_AD_UNRECOGNIZED_NAME:
            return TLSError(
                .certificate, "\(peer) knows no server of the name \(expectedName): correct \(section).serverName")
        default: return nil
        }
    }
}

extension TLSError {
    /// - Parameter answer: what arrived instead of a handshake; empty if nothing did.
    static func plaintext(peer: String, answer: [UInt8], _ settings: TLSSettings) -> TLSError {
        let line = String(decoding: answer.prefix(80).prefix { $0 != 10 && $0 != 13 }, as: UTF8.self)
        let answered = answer.isEmpty ? "" : " (it answered \(line.debugDescription))"
        return TLSError(
            .plaintext,
            "\(peer) does not speak TLS on this port\(answered): connect to its TLS port, or set \(settings.section).enabled to false"
        )
    }
}
