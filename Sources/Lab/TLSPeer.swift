import COpenSSL
import Foundation

/// The server's end of a TLS connection, on a blocking socket and one thread.
package final class TLSPeer {
    /// What a TLS server presents and demands.
    package struct Options: Sendable {
        package var files: CertificateFiles
        /// The authority of the clients' certificates; `nil` if none are requested.
        package var clientAuthority: String?
        /// The accepted versions, such as `TLS1_2_VERSION`.
        package var versions: ClosedRange<Int32>

        package init(
            _ files: CertificateFiles, clientAuthority: String? = nil,
            versions: ClosedRange<Int32> = TLS1_2_VERSION...TLS1_3_VERSION
        ) {
            (self.files, self.clientAuthority, self.versions) = (files, clientAuthority, versions)
        }
    }

    /// How the client has ended its direction.
    package enum End: Equatable, Sendable {
        /// close_notify.
        case notified
        /// FIN without close_notify.
        case bare
        /// FIN without close_notify after the server's own end, when nobody waits for a close_notify.
        case late
        /// RST, or a protocol error.
        case broken
    }

    package enum Received {
        case bytes(ArraySlice<UInt8>)
        case end(End)
    }

    package let descriptor: Int32
    private let ssl: OpaquePointer

    /// Makes a write to a client that is gone an error instead of the end of the process.
    private static let ignoresPipe: Void = { signal(SIGPIPE, SIG_IGN) }()

    /// Makes the handshake; the caller keeps the ownership of the descriptor.
    ///
    /// - Throws: `LabError` with OpenSSL's reason.
    package init(_ descriptor: Int32, _ options: Options) throws {
        Self.ignoresPipe
        self.descriptor = descriptor
        guard let context = SSL_CTX_new(TLS_server_method()) else { throw LabError("OpenSSL makes no context") }
        defer { SSL_CTX_free(context) }
        _ = df2redis_ssl_ctx_limit_versions(context, options.versions.lowerBound, options.versions.upperBound)
        // TLS 1.1 needs signatures that the default security level does not allow.
        if options.versions.upperBound < TLS1_2_VERSION { SSL_CTX_set_cipher_list(context, "DEFAULT@SECLEVEL=0") }
        guard SSL_CTX_use_certificate_chain_file(context, options.files.certificate) == 1,
            SSL_CTX_use_PrivateKey_file(context, options.files.key, SSL_FILETYPE_PEM) == 1
        else { throw LabError("OpenSSL does not take \(options.files.certificate)") }
        if let authority = options.clientAuthority {
            SSL_CTX_load_verify_file(context, authority)
            SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nil)
        }
        guard let ssl = SSL_new(context) else { throw LabError("OpenSSL makes no session") }
        self.ssl = ssl
        SSL_set_fd(ssl, descriptor)
        ERR_clear_error()
        guard SSL_accept(ssl) == 1 else {
            throw LabError(
                "no handshake: \(ERR_reason_error_string(ERR_peek_error()).map { String(cString: $0) } ?? "")")
        }
    }

    deinit { SSL_free(ssl) }

    /// Whether there are decrypted bytes, which polling the socket does not announce.
    package var hasPending: Bool { SSL_pending(ssl) > 0 }

    package func receive() -> Received {
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        ERR_clear_error()
        errno = 0
        let count = SSL_read(ssl, &buffer, Int32(buffer.count))
        if count > 0 { return .bytes(buffer[..<Int(count)]) }
        if SSL_get_error(ssl, count) == SSL_ERROR_ZERO_RETURN { return .end(.notified) }
        let isBare = errno == 0 && ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING
        return .end(isBare ? .bare : .broken)
    }

    /// - Returns: `false` when the client takes nothing any more.
    @discardableResult
    package func send(_ bytes: ArraySlice<UInt8>) -> Bool {
        ERR_clear_error()
        return bytes.isEmpty || bytes.withUnsafeBytes { SSL_write(ssl, $0.baseAddress, Int32($0.count)) > 0 }
    }

    package func send(_ text: String) { send(Array(text.utf8)[...]) }

    /// Requests new keys from the client with the next bytes (TLS 1.3), to which the client must reply.
    package func askForNewKeys() { SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED) }

    /// Sends close_notify and FIN.
    package func finish() {
        ERR_clear_error()
        SSL_shutdown(ssl)
        shutdown(descriptor, Int32(SHUT_WR))
    }

    /// Reads the raw bytes after the client's close_notify.
    ///
    /// - Returns: the number of bytes until the client's FIN; -1 if a reset came instead.
    package func rawBytesToFIN() -> Int {
        var (buffer, total) = ([UInt8](repeating: 0, count: 4096), 0)
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            if count == 0 { return total }
            if count < 0, errno == EINTR { continue }
            if count < 0 { return -1 }
            total += count
        }
    }
}
