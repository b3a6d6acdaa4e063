import Glibc
import Lab
import Testing

@testable import Systemd

struct FileDescriptorStoreTests {
    @Test func `a stored descriptor is sent with its name and FDPOLL=0`() async throws {
        await #expect(processExitsWith: .success) {
            let socket = NotifySocket()
            var pipe: [Int32] = [-1, -1]
            #expect(Glibc.pipe(&pipe) == 0)
            #expect(FileDescriptorStore().put(pipe[0], name: "flow-3") == .sent)

            let message = try #require(socket.receive())
            #expect(message.text == "FDSTORE=1\nFDPOLL=0\nFDNAME=flow-3")
            #expect(message.descriptors.count == 1)
            let copy = try #require(message.descriptors.first)
            #expect(copy != pipe[0])
            #expect(identity(of: copy) == identity(of: pipe[0]))
        }
    }

    @Test func `a removal sends the name only`() async throws {
        await #expect(processExitsWith: .success) {
            let socket = NotifySocket()
            #expect(FileDescriptorStore().remove(name: "flow-3") == .sent)
            let message = try #require(socket.receive())
            #expect(message.text == "FDSTOREREMOVE=1\nFDNAME=flow-3")
            #expect(message.descriptors.isEmpty)
        }
    }

    @Test func `outside systemd the store keeps nothing and is empty`() async {
        await #expect(processExitsWith: .success) {
            unsetenv("NOTIFY_SOCKET")
            unsetenv("LISTEN_FDS")
            let store = FileDescriptorStore()
            #expect(store.put(0, name: "flow-0") == .notSupervised)
            #expect(store.remove(name: "flow-0") == .notSupervised)
            #expect(store.takeAll().isEmpty)
        }
    }

    @Test func `a descriptor that is not open leads to a log record`() async {
        await #expect(processExitsWith: .success) {
            let socket = NotifySocket()
            let log = LogCapture()
            #expect(FileDescriptorStore(logger: log.logger).put(1_000, name: "flow-0") == .failed(errno: EBADF))
            #expect(log.messages == ["a socket could not be put into systemd's store"])
            #expect(socket.drain().isEmpty)
        }
    }

    @Test func `descriptors of an earlier process are taken once, by name and close-on-exec`() async {
        await #expect(processExitsWith: .success) {
            // The store's descriptors start at 3, where this process has its own: they are put back before any report.
            let spared = (3...5).map { (place: Int32($0), copy: fcntl(Int32($0), F_DUPFD_CLOEXEC, 100)) }
            var pipe: [Int32] = [-1, -1]
            let made = Glibc.pipe(&pipe)
            let source = fcntl(pipe[0], F_DUPFD, 200)
            for place in 3...5 { dup2(source, Int32(place)) }
            setenv("LISTEN_PID", "\(getpid())", 1)
            setenv("LISTEN_FDS", "3", 1)
            setenv("LISTEN_FDNAMES", "main:flow:flow", 1)

            let taken = FileDescriptorStore().takeAll()
            let again = FileDescriptorStore().takeAll()
            let flags = (3...5).map { fcntl(Int32($0), F_GETFD) }
            for (place, copy) in spared {
                if copy >= 0 { dup2(copy, place) } else { close(place) }
            }

            #expect(made == 0)
            #expect(taken == ["main": [3], "flow": [4, 5]])
            #expect(again.isEmpty)
            #expect(flags == [FD_CLOEXEC, FD_CLOEXEC, FD_CLOEXEC])
            #expect(getenv("LISTEN_FDS") == nil && getenv("LISTEN_FDNAMES") == nil && getenv("LISTEN_PID") == nil)
        }
    }

    @Test func `descriptors meant for another process are left alone`() async {
        await #expect(processExitsWith: .success) {
            setenv("LISTEN_PID", "\(getppid())", 1)
            setenv("LISTEN_FDS", "3", 1)
            #expect(FileDescriptorStore().takeAll().isEmpty)
        }
    }

    @Test(arguments: [("flow-0", true), ("", false), ("a:b", false), ("a\nb", false), ("é", false)])
    func `a descriptor's name must be printable ASCII without colons`(name: String, isValid: Bool) {
        #expect(FileDescriptorStore.isValid(name: name) == isValid)
    }

    @Test func `a descriptor's name has at most 255 bytes`() {
        #expect(FileDescriptorStore.isValid(name: String(repeating: "x", count: 255)))
        #expect(!FileDescriptorStore.isValid(name: String(repeating: "x", count: 256)))
    }
}
