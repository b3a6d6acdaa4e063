import Glibc

/// A system call that failed on a connection or a file.
package struct SystemError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The call, as its manual page names it; `getaddrinfo` carries an `EAI_*` code in `errno`.
    package let call: String
    package let errno: Int32
    /// The peer or the file.
    package let peer: String

    package init(_ call: String, errno: Int32, peer: String) {
        self.call = call
        self.errno = errno
        self.peer = peer
    }

    /// Whether the system itself is short of something: descriptors, threads or memory. Neither the peer nor the file is to
    /// blame.
    package var isExhaustion: Bool {
        switch errno {
        case EMFILE, ENFILE, ENOMEM, ENOBUFS: true
        case EAGAIN: call == "pthread_create"
        default: false
        }
    }

    package var description: String {
        let reason = call == "getaddrinfo" ? String(cString: gai_strerror(errno)) : String(cString: strerror(errno))
        return "\(call) \(peer): \(reason)"
    }
}

/// Repeats a system call that a signal interrupted.
package func retryingInterrupts<R: SignedInteger>(_ call: () -> R) -> R {
    while true {
        let result = call()
        if result != -1 || errno != EINTR { return result }
    }
}
