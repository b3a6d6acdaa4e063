import Glibc
import Testing

@testable import Replication

@Suite struct `The process that a record names` {
    private let own = ProcessIdentity.current

    @Test func `has not ended while it runs`() {
        #expect(own.pid == getpid())
        #expect(own.start != "-")
        #expect(!ProcessIdentity.hasEnded(own.text))
    }

    @Test func `has ended when its pid is another process's by now, or nobody's`() {
        var other = own
        other.start = "1"
        #expect(ProcessIdentity.hasEnded(other.text))
        other = own
        other.pid = .max
        #expect(ProcessIdentity.hasEnded(other.text))
    }

    @Test func `may run for all we know when it is another machine's, or its machine is not known`() {
        var other = own
        (other.machine, other.pid) = ("1-2", .max)
        #expect(!ProcessIdentity.hasEnded(other.text))
        other.machine = "-"
        #expect(!ProcessIdentity.hasEnded(other.text))
        for text in ["", "a b c", "a b -1 \(own.machine) 1"] { #expect(!ProcessIdentity.hasEnded(text)) }
    }
}
