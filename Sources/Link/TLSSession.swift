import COpenSSL
import Glibc
import Wire

/// TLS over a connected non-blocking socket, as a client. Everything that a `Channel` reads and writes passes through here.
///
/// ```
/// Channel.read  ◀── SSL_read ◀── BIO ◀── recv        what one call of the kernel brought and nobody has read yet
/// Channel.write ──▶ SSL_write ──▶ BIO ──▶ outgoing ──▶ send     is held by OpenSSL: `mayHoldMore`
/// ```
/// OpenSSL never waits for room: its records wait in `outgoing`, and no more bytes are taken while some of them do. So a
/// read that has to answer something, such as a change of keys, never fails because the socket is full, and no write has to
/// be repeated with the same bytes. After our FIN, everything that OpenSSL would still write (alerts, answers) is dropped,
/// because a reply on a half-closed flow kills some masters (Protocol 6.5).
///
/// It belongs to one channel; `RequestConnection.detach` hands it to another one together with the socket.
package final class TLSSession: @unchecked Sendable {  // used by one channel at a time, on that channel's queue
    private let ssl: OpaquePointer
    private let descriptor: Int32
    let peer: String
    let settings: TLSSettings
    /// The name that the server's certificate must carry.
    let expectedName: String

    /// Records that the kernel has not taken yet.
    private var outgoing = ByteBuffer()
    private var hasSentFIN = false
    private var hasReceivedFIN = false
    /// Whether the peer's close_notify has arrived. Only its FIN can follow.
    private var hasReceivedClose = false
    private var readErrno: Int32 = 0
    private var isReading = true
    private var failure: ChannelError?
    package private(set) var isEstablished = false
    /// Whether OpenSSL may hold bytes that the kernel no longer announces.
    private(set) var mayHoldMore = false
    /// The first bytes that the peer has sent.
    private(set) var firstBytes: [UInt8] = []
    /// Why the server's certificate did not pass; `nil` if it has not been refused.
    private(set) var refusal: CertificateRefusal?
    /// Whether the server has asked for a certificate from us.
    private(set) var isAskedForCertificate = false

    /// The size up to which records are collected before they are sent together.
    private static let burstBytes = 64 << 10

    /// Begins the handshake without waiting for anything, because a master on this port must not receive a FIN before our
    /// first message (Protocol 2.7).
    ///
    /// - Parameter host: the host of the connection. The certificate must carry it, unless the settings name something else.
    /// - Throws: `TLSError`.
    package init(
        _ context: TLSContext, _ settings: TLSSettings, descriptor: Int32, host: String, peer: String
    ) throws(TLSError) {
        guard let ssl = SSL_new(context.pointer), let bio = BIO_new(Self.socketMethod) else {
            throw TLSError(.unanswered, "OpenSSL has no memory for a connection to \(peer)")
        }
        self.ssl = ssl
        self.descriptor = descriptor
        self.peer = peer
        self.settings = settings
        expectedName = settings.serverName ?? host
        let own = Unmanaged.passUnretained(self).toOpaque()
        BIO_set_data(bio, own)
        BIO_set_init(bio, 1)
        SSL_set_bio(ssl, bio, bio)
        SSL_set_connect_state(ssl)
        _ = df2redis_ssl_set_owner(ssl, own)
        SSL_set_cert_cb(
            ssl,
            { _, session in
                if let session { Unmanaged<TLSSession>.fromOpaque(session).takeUnretainedValue().askedForCertificate() }
                return 1
            }, own)
        expect(expectedName)
        if !settings.skipsVerification {
            SSL_set_verify(ssl, SSL_VERIFY_PEER) { isTrusted, store in
                if isTrusted == 0, let store { TLSSession.refused(store) }
                return isTrusted
            }
        }
        greet()
    }

    deinit { SSL_free(ssl) }

    /// A numeric address is compared with the addresses in the certificate and never announced (SNI is for names only).
    private func expect(_ name: String) {
        let address = name.prefix { $0 != "%" }
        var binary = in6_addr()
        if inet_pton(AF_INET, String(address), &binary) == 1 || inet_pton(AF_INET6, String(address), &binary) == 1 {
            X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), String(address))
        } else {
            SSL_set1_host(ssl, name)
            _ = df2redis_ssl_set_server_name(ssl, name)
        }
    }

    /// When the first certificate of the server's chain expires, in Unix seconds; `nil` before the handshake is complete.
    var certificateEnd: Int64? { isEstablished ? CertificateEnd.first(of: ssl) : nil }

    private func askedForCertificate() { isAskedForCertificate = true }

    private static func refused(_ store: OpaquePointer) {
        guard let ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()),
            let owner = df2redis_ssl_owner(OpaquePointer(ssl))
        else { return }
        Unmanaged<TLSSession>.fromOpaque(owner).takeUnretainedValue().refusal = CertificateRefusal(store)
    }

    // MARK: Handshake

    /// Sends our first message and reads nothing. An error that has occurred by then is found by `handshake`.
    private func greet() {
        isReading = false
        SSL_do_handshake(ssl)
        isReading = true
        _ = try? flush()
    }

    /// Continues the handshake as far as the bytes that have arrived allow.
    ///
    /// - Returns: whether it is complete.
    func handshake() throws(ChannelError) -> Bool {
        ERR_clear_error()
        let result = SSL_do_handshake(ssl)
        let error = SSL_get_error(ssl, result)
        // After a failure this also sends our alert.
        defer { _ = try? flush() }
        if result == 1 {
            isEstablished = true
            mayHoldMore = true
            return true
        }
        if error == SSL_ERROR_WANT_READ, readErrno == 0, !hasReceivedFIN { return false }
        throw fail(error)
    }

    // MARK: Reading

    /// Fills `buffer` with what has arrived.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws(ChannelError) -> Channel.ReadResult {
        guard let base = buffer.baseAddress else { return .wouldBlock }
        if failure == nil, !hasReceivedClose {
            var count = 0
            while count < buffer.count {
                var piece = 0
                ERR_clear_error()
                let result = SSL_read_ex(ssl, base + count, buffer.count - count, &piece)
                if result == 1 {
                    count += piece
                    continue
                }
                let error = SSL_get_error(ssl, result)
                if error == SSL_ERROR_ZERO_RETURN {
                    hasReceivedClose = true
                } else if error != SSL_ERROR_WANT_READ {
                    failure = fail(error)
                } else {
                    mayHoldMore = false
                    return count > 0 ? .bytes(count) : .wouldBlock
                }
                break
            }
            mayHoldMore = true
            if count > 0 { return .bytes(count) }
        }
        mayHoldMore = false
        if hasReceivedFIN { return .endOfStream }
        if let failure { throw failure }
        return try readToFIN()
    }

    /// Reads to the peer's FIN after the peer has announced its end. If we have sent our FIN, the peer's is awaited;
    /// otherwise the peer may be waiting for ours.
    private func readToFIN() throws(ChannelError) -> Channel.ReadResult {
        try withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 16) { scratch throws(ChannelError) in
            while let address = scratch.baseAddress {
                let count = receive(address, scratch.count)
                if count == 0 { break }
                if count < 0 {
                    if readErrno != 0 { throw .system(SystemError("read", errno: readErrno, peer: peer)) }
                    return hasSentFIN ? .wouldBlock : .endOfStream
                }
            }
            return .endOfStream
        }
    }

    /// - Returns: 0 after the peer's FIN; -1 if there is nothing now, or after an error (`readErrno`).
    private func receive(_ room: UnsafeMutableRawPointer, _ size: Int) -> Int {
        if !isReading { return -1 }
        if hasReceivedFIN { return 0 }
        let count = retryingInterrupts { recv(descriptor, room, size, 0) }
        if count == 0 { hasReceivedFIN = true }
        if count < 0, errno != EAGAIN { readErrno = errno }
        if count > 0, firstBytes.isEmpty {
            firstBytes = Array(UnsafeRawBufferPointer(start: room, count: min(count, 512)))
        }
        return count
    }

    private func fail(_ error: Int32) -> ChannelError {
        if readErrno != 0, !hasReceivedFIN { return .system(SystemError("read", errno: readErrno, peer: peer)) }
        return .tls(explanation(of: ERR_peek_error(), hasReceivedFIN: hasReceivedFIN))
    }

    // MARK: Writing

    /// The number of bytes that the kernel has not taken.
    var unsentBytes: Int { outgoing.count }

    /// Encrypts and sends.
    ///
    /// - Returns: the number of bytes that are taken; 0 while records wait for room.
    func write(_ bytes: UnsafeRawBufferPointer) throws(SystemError) -> Int {
        guard try flush() else { return 0 }
        var count = 0
        while count < bytes.count, outgoing.count < Self.burstBytes {
            var piece = 0
            ERR_clear_error()
            let rest = UnsafeRawBufferPointer(rebasing: bytes[count...])
            guard SSL_write_ex(ssl, rest.baseAddress, rest.count, &piece) == 1 else {
                // This happens only after the peer has ended the session; reading finds the reason.
                throw SystemError("write", errno: EPIPE, peer: peer)
            }
            count += piece
        }
        _ = try flush()
        return count
    }

    /// - Returns: whether the kernel has taken everything.
    @discardableResult
    func flush() throws(SystemError) -> Bool {
        while !outgoing.isEmpty {
            let count = outgoing.withUnsafeBytes { bytes in
                retryingInterrupts { send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL)) }
            }
            if count < 0 {
                if errno == EAGAIN { return false }
                throw SystemError("write", errno: errno, peer: peer)
            }
            outgoing.removeFirst(count)
        }
        return true
    }

    // MARK: Leaving

    /// Sends close_notify as far as the kernel takes it, and writes nothing more. Our FIN follows.
    ///
    /// A peer that has already closed gets none, because its kernel might answer with RST.
    ///
    /// - Parameter saysSo: `false` if the connection is already broken, so that close_notify is not sent.
    func close(saysSo: Bool) {
        guard !hasSentFIN else { return }
        if saysSo, isEstablished, failure == nil, !hasReceivedClose, !hasReceivedFIN, readErrno == 0, outgoing.isEmpty {
            ERR_clear_error()
            SSL_shutdown(ssl)
            _ = try? flush()
        }
        hasSentFIN = true
        outgoing.removeFirst(outgoing.count)
    }

    // MARK: The socket as OpenSSL sees it

    private func append(_ bytes: UnsafeRawBufferPointer) {
        if !hasSentFIN { outgoing.append(bytes) }
    }

    private static func session(of bio: OpaquePointer?) -> TLSSession {
        Unmanaged<TLSSession>.fromOpaque(BIO_get_data(bio)).takeUnretainedValue()
    }

    nonisolated(unsafe) private static let socketMethod: OpaquePointer? = {  // written here only
        guard let method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "df2redis") else { return nil }
        BIO_meth_set_read_ex(method) { bio, room, size, count in
            df2redis_bio_clear_retry(bio)
            guard let room, let count else { return 0 }
            let session = TLSSession.session(of: bio)
            let received = session.receive(room, size)
            count.pointee = max(received, 0)
            if received < 0, session.readErrno == 0 { df2redis_bio_set_retry_read(bio) }
            return received > 0 ? 1 : Int32(received)
        }
        BIO_meth_set_write_ex(method) { bio, bytes, size, count in
            df2redis_bio_clear_retry(bio)
            TLSSession.session(of: bio).append(UnsafeRawBufferPointer(start: bytes, count: size))
            count?.pointee = size
            return 1
        }
        BIO_meth_set_ctrl(method) { bio, command, _, _ in
            switch command {
            case BIO_CTRL_FLUSH: 1
            case BIO_CTRL_EOF: TLSSession.session(of: bio).hasReceivedFIN ? 1 : 0
            default: 0
            }
        }
        return method
    }()
}
