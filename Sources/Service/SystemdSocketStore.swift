import Dragonfly
import Logging
import Systemd

/// Keeps a session's sockets in systemd's file descriptor store.
struct SystemdSocketStore: SocketStore {
    private let store: FileDescriptorStore

    init(logger: Logger? = nil) { store = FileDescriptorStore(logger: logger) }

    func keep(_ descriptor: Int32, name: String) { store.put(descriptor, name: name) }
    func release(name: String) { store.remove(name: name) }
}
