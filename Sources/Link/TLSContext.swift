import COpenSSL
import Glibc

/// The certificates that connections trust and present: the files of `TLSSettings` as they are now.
package final class TLSContext: @unchecked Sendable {  // OpenSSL counts the references of an `SSL_CTX` itself
    /// An `SSL_CTX`.
    let pointer: OpaquePointer

    /// The most that one system call reads from a connection. Each connection with unread bytes holds a buffer of this size.
    private static let readBufferBytes = 64 << 10

    /// - Throws: `TLSError` if a file cannot be used, with its `key`.
    package convenience init(_ settings: TLSSettings) throws(TLSError) {
        try self.init()
        if let fault = load(settings).first { throw fault }
    }

    /// - Returns: what is wrong with each of the files.
    package static func faults(of settings: TLSSettings) -> [TLSError] {
        do throws(TLSError) {
            return try TLSContext().load(settings)
        } catch {
            return [error]
        }
    }

    private init() throws(TLSError) {
        guard let pointer = SSL_CTX_new(TLS_client_method()) else {
            throw TLSError(.unanswered, "OpenSSL has no memory for a connection")
        }
        self.pointer = pointer
        df2redis_ssl_ctx_harden(pointer)
        df2redis_ssl_ctx_set_buffering(pointer, Self.readBufferBytes)
        guard df2redis_ssl_ctx_limit_versions(pointer, TLS1_2_VERSION, TLS1_3_VERSION) == 1 else {
            throw TLSError(.version, "OpenSSL on this machine allows neither TLS 1.2 nor 1.3 (openssl.cnf)")
        }
    }

    deinit { SSL_CTX_free(pointer) }

    /// - Returns: what is wrong with each of the files.
    private func load(_ settings: TLSSettings) -> [TLSError] {
        var faults: [TLSError] = []
        func attempt(_ step: () throws(TLSError) -> Void) -> Bool {
            do throws(TLSError) {
                try step()
                return true
            } catch {
                faults.append(error)
                return false
            }
        }
        _ = attempt { () throws(TLSError) in try trust(settings) }
        if let path = settings.certificateFile {
            let hasCertificate = attempt { () throws(TLSError) in try show(path, settings) }
            if hasCertificate || settings.keyFile != nil {
                _ = attempt { () throws(TLSError) in
                    try useKey(settings.keyFile, of: hasCertificate ? path : nil, settings)
                }
            }
        }
        ERR_clear_error()
        return faults
    }

    private func trust(_ settings: TLSSettings) throws(TLSError) {
        if settings.skipsVerification { return }
        if let path = settings.caFile {
            let file = File(path: path, section: settings.section, key: "caFile")
            try file.requireReadable()
            guard SSL_CTX_load_verify_file(pointer, path) == 1 else {
                throw file.unusable(orHolding: "certificate")
            }
        } else {
            SSL_CTX_set_default_verify_paths(pointer)
        }
    }

    private func show(_ path: String, _ settings: TLSSettings) throws(TLSError) {
        let certificate = File(path: path, section: settings.section, key: "certFile")
        try certificate.requireReadable()
        guard SSL_CTX_use_certificate_chain_file(pointer, path) == 1 else {
            throw certificate.unusable(orHolding: "certificate")
        }
    }

    /// - Parameters:
    ///   - path: the file of the key; `nil` if it is in the certificate's.
    ///   - certificate: the file of the certificate; `nil` if that cannot be used.
    private func useKey(
        _ path: String?, of certificate: String?, _ settings: TLSSettings
    ) throws(TLSError) {
        guard let file = path ?? certificate else { return }
        let key = File(path: file, section: settings.section, key: path == nil ? "certFile" : "keyFile")
        try key.requireReadable()
        // Without a callback, OpenSSL would ask for a passphrase on the terminal.
        var isEncrypted = false
        withUnsafeMutablePointer(to: &isEncrypted) { asked in
            SSL_CTX_set_default_passwd_cb_userdata(pointer, asked)
            SSL_CTX_set_default_passwd_cb(pointer) { _, _, _, asked in
                asked?.assumingMemoryBound(to: Bool.self).pointee = true
                return -1
            }
            ERR_clear_error()
            _ = SSL_CTX_use_PrivateKey_file(pointer, key.path, SSL_FILETYPE_PEM)
            SSL_CTX_set_default_passwd_cb_userdata(pointer, nil)
            SSL_CTX_set_default_passwd_cb(pointer, nil)
        }
        let error = ERR_peek_last_error()
        let isForeign = error != 0 && ERR_GET_LIB(error) == ERR_LIB_X509
        if isEncrypted {
            throw key.fault("is protected by a passphrase, which nobody is there to enter: write it without one")
        }
        if error != 0, !isForeign { throw key.unusable(orHolding: "private key") }
        guard let certificate else { return }
        guard !isForeign, SSL_CTX_check_private_key(pointer) == 1 else {
            throw key.fault("does not belong to the certificate in \(certificate) (\(settings.section).certFile)")
        }
    }

    private struct File {
        let path: String
        let section: String
        let key: String

        func fault(_ what: String) -> TLSError { TLSError(.file, "\(section).\(key): \(path) \(what)", key: key) }

        /// Checks that the file can be read, because OpenSSL's errors for a file that it cannot open are not helpful.
        func requireReadable() throws(TLSError) {
            let descriptor = open(path, O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else { throw fault("cannot be read: \(String(cString: strerror(errno)))") }
            defer { close(descriptor) }
            var byte: UInt8 = 0
            let count = retryingInterrupts { read(descriptor, &byte, 1) }
            if count < 0 { throw fault("cannot be read: \(String(cString: strerror(errno)))") }
            ERR_clear_error()
        }

        func unusable(orHolding what: String) -> TLSError {
            let error = ERR_peek_last_error()
            // Other errors have reasons such as 'PEM lib'. A file of the right form may be refused because it is too weak,
            // for example.
            guard ERR_GET_LIB(error) == ERR_LIB_SSL, (100..<1000).contains(ERR_GET_REASON(error)),
                let reason = ERR_reason_error_string(error)
            else { return fault("holds no \(what) in PEM form") }
            return fault("cannot be used: \(String(cString: reason))")
        }
    }
}
