/// Why a connection cannot be encrypted, in words for a DBA: the message names the server, what is wrong, and the key to
/// set.
package struct TLSError: Error, Equatable, Sendable, CustomStringConvertible {
    package enum Code: Equatable, Sendable {
        /// The server's certificate is not trusted.
        case certificate
        /// The server requires a certificate from us, or another one.
        case clientCertificate
        /// The server does not speak TLS.
        case plaintext
        /// The server and we have no TLS version or no cipher in common.
        case version
        /// One of our own files cannot be used.
        case file
        /// The server does not answer, or ends the connection without a reason: worth another try.
        case unanswered
    }

    package let code: Code
    package let message: String
    /// The key within the section that names the faulty file.
    package let key: String?

    package init(_ code: Code, _ message: String, key: String? = nil) {
        self.code = code
        self.message = message
        self.key = key
    }

    package var description: String { message }
}

/// Why a channel cannot be read.
package enum ChannelError: Error, Equatable, Sendable, CustomStringConvertible {
    case system(SystemError)
    case tls(TLSError)

    package var description: String {
        switch self {
        case .system(let error): "\(error)"
        case .tls(let error): "\(error)"
        }
    }
}
