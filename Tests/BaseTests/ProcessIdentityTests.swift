import Base
import Glibc
import Testing

@Suite struct `The process that a record names` {
    private let own = ProcessIdentity.current

    @Test func `has not ended while it runs`() {
        #expect(own.pid == getpid())
        #expect(own.start != "-")
        #expect(!ProcessIdentity.hasEnded(own.text))
    }

    @Test func `has ended if its pid belongs to another process or to none`() {
        var other = own
        other.start = "1"
        #expect(ProcessIdentity.hasEnded(other.text))
        other = own
        other.pid = .max
        #expect(ProcessIdentity.hasEnded(other.text))
    }

    @Test func `is assumed to run if it is on another machine or an unknown one`() {
        var other = own
        (other.machine, other.pid) = ("1-2", .max)
        #expect(!ProcessIdentity.hasEnded(other.text))
        other.machine = "-"
        #expect(!ProcessIdentity.hasEnded(other.text))
        for text in ["", "a b c", "a b -1 \(own.machine) 1"] { #expect(!ProcessIdentity.hasEnded(text)) }
    }
}
