import CSystemd
import Glibc

/// One record for the journal: `NAME=value` fields, the values binary-safe.
///
/// ```
/// bytes  MESSAGE=full sync done PRIORITY=5 DF2REDIS_FLOW=3     one after another
/// ends                         ▲          ▲               ▲
/// ```
struct LogRecord: Sendable {
    private var bytes: [UInt8] = []
    private var ends: [Int] = []

    /// The longest field name that journald accepts (`journal_field_valid` of systemd).
    static let maximumNameBytes = 64

    /// Adds a field. A value may hold anything, line breaks and NUL too.
    ///
    /// - Parameter name: upper-case letters, digits and underscores; no underscore in front, for that is how journald
    ///   marks the fields that it vouches for itself.
    mutating func append(_ name: String, _ value: String) {
        bytes.append(contentsOf: name.utf8)
        bytes.append(UInt8(ascii: "="))
        bytes.append(contentsOf: value.utf8)
        ends.append(bytes.count)
    }

    var byteCount: Int { bytes.count }

    /// The fields, each as `NAME=value`.
    var fields: [String] {
        zip([0] + ends, ends).map { String(decoding: bytes[$0..<$1], as: UTF8.self) }
    }

    /// Hands the record to journald.
    ///
    /// A record is a datagram; for a larger record the library passes a sealed memory file. The call waits only while
    /// journald's queue is full (512 records under systemd).
    ///
    /// - Returns: 0, or a negative errno. If there is no journald at all, libsystemd returns 0 and drops the record.
    func send() -> Int32 {
        bytes.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return -EINVAL }
            let vectors = zip([0] + ends, ends).map { start, end in
                // `iovec` knows no const; sendmsg only reads.
                iovec(iov_base: UnsafeMutableRawPointer(mutating: base + start), iov_len: end - start)
            }
            return sd_journal_sendv(vectors, Int32(vectors.count))
        }
    }
}
