import CSystemd
import Glibc
package import Logging

/// File descriptors that the service manager keeps open while this process is being restarted
/// (`FileDescriptorStoreMax=` of the unit).
///
/// A flow's socket is kept here as long as it is open. If this process is killed, the kernel sends neither FIN nor RST,
/// because the service manager still holds the socket; the next process takes it back with `takeAll()`, reads it empty
/// and leaves in order. Two things follow for the owner of a socket:
///
/// 1. `close(2)` alone sends no FIN while the store holds a copy. Half-close with `shutdown(2)`, which acts on the
///    connection whoever holds it, and `remove(name:)` before the close.
/// 2. The order of `put` and `remove` calls is kept: both travel on one datagram socket. A message sent before this
///    process dies is still honoured, because the service manager reads notifications before deaths.
package struct FileDescriptorStore: Sendable {
    private let logger: Logger?

    /// - Parameter logger: for messages that could not be sent; nil for silence.
    package init(logger: Logger? = nil) {
        self.logger = logger
    }

    /// Lets the service manager hold a copy of `descriptor` under `name`. This process keeps its own.
    ///
    /// The same name may be used more than once; `remove(name:)` then removes all of them. A store that is full takes
    /// nothing more, which only the journal shows.
    ///
    /// `FDPOLL=0` keeps the service manager from closing its copy on its own as soon as the connection hangs up or breaks.
    /// At that moment the last bytes may still lie unread in the socket, and a close with unread bytes sends RST.
    @discardableResult
    package func put(_ descriptor: Int32, name: String) -> Delivery {
        precondition(Self.isValid(name: name), "a stored descriptor's name is 1 to 255 printable ASCII without colons")
        let state = "FDSTORE=1\nFDPOLL=0\nFDNAME=\(name)"
        let result = withUnsafePointer(to: descriptor) { sd_pid_notify_with_fds(0, 0, state, $0, 1) }
        return report(Delivery(result: result), "a socket could not be put into systemd's store", name: name)
    }

    /// Lets the service manager close its copies of all descriptors under `name`.
    @discardableResult
    package func remove(name: String) -> Delivery {
        precondition(Self.isValid(name: name), "a stored descriptor's name is 1 to 255 printable ASCII without colons")
        let delivery = Delivery(result: sd_notify(0, "FDSTOREREMOVE=1\nFDNAME=\(name)"))
        return report(delivery, "a socket could not be removed from systemd's store", name: name)
    }

    /// Returns what an earlier process of this unit has left in the store, by name. The caller owns the descriptors.
    ///
    /// Call it once, early in `main` and before other threads run: it clears `LISTEN_FDS`, `LISTEN_FDNAMES` and
    /// `LISTEN_PID`, so that a second call finds nothing and no child mistakes the descriptors for its own. All are
    /// close-on-exec. They stay in the store until `remove(name:)`.
    package func takeAll() -> [String: [Int32]] {
        var names: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
        let count = sd_listen_fds_with_names(1, &names)
        guard count >= 0 else {
            report(.failed(errno: -count), "the sockets of systemd's store could not be taken back", name: nil)
            return [:]
        }
        guard let names else { return [:] }
        defer { free(names) }
        var descriptors: [String: [Int32]] = [:]
        for index in 0..<Int(count) {
            guard let name = names[index] else { break }
            descriptors[String(cString: name), default: []].append(SD_LISTEN_FDS_START + Int32(index))
            free(name)
        }
        return descriptors
    }

    /// Whether the service manager accepts `name` (`fdname_is_valid` of systemd).
    static func isValid(name: String) -> Bool {
        let bytes = name.utf8
        return (1...255).contains(bytes.count)
            && bytes.allSatisfy { (0x20..<0x7F).contains($0) && $0 != UInt8(ascii: ":") }
    }

    @discardableResult
    private func report(_ delivery: Delivery, _ message: Logger.Message, name: String?) -> Delivery {
        if case .failed(let errno) = delivery {
            var metadata: Logger.Metadata = ["errno": "\(errno)", "reason": "\(errorText(errno))"]
            metadata["name"] = name.map { "\($0)" }
            logger?.warning(message, metadata: metadata)
        }
        return delivery
    }
}
