import Glibc
import Link
import Redis
import Replication
import Testing
import Wire

@testable import Service

@Suite struct `The exit codes` {
    @Test func `are those of sysexits`() {
        let expected: [ExitCode: Int32] = [
            .ok: EX_OK, .different: 1, .usage: EX_USAGE, .policyStop: EX_DATAERR, .sourceUnavailable: EX_UNAVAILABLE,
            .software: EX_SOFTWARE, .osError: EX_OSERR, .cantCreate: EX_CANTCREAT, .ioError: EX_IOERR,
            .targetUnavailable: EX_TEMPFAIL, .protocolError: EX_PROTOCOL, .noPermission: EX_NOPERM, .config: EX_CONFIG,
        ]
        #expect(expected.count == ExitCode.allCases.count)
        for (code, number) in expected { #expect(code.rawValue == number) }
    }

    @Test func `stand in the table, each in a row`() {
        let rows = ExitCode.table.split(separator: "\n").dropFirst(2)
        #expect(rows.count == ExitCode.allCases.count)
        #expect(rows.last == "| 78 | \(ExitCode.config.meaning) | no |")
    }

    @Test(arguments: [
        SystemError("socket", errno: EMFILE, peer: "a:1"), SystemError("socket", errno: ENOBUFS, peer: "a:1"),
        SystemError("pthread_create", errno: EAGAIN, peer: "a:1"), SystemError("connect", errno: ENOMEM, peer: "a:1"),
    ])
    func `say when it is the system that refuses`(error: SystemError) {
        let refusal = ReplicationError(TargetError(error))
        #expect(refusal.exitCode == .osError)
        #expect(refusal.isTransient, "a task that has begun waits until the system has some again")
        #expect(
            ReplicationError(TargetError(SystemError("connect", errno: EAGAIN, peer: "a:1"))).exitCode
                == .targetUnavailable)
    }

    @Test func `tell bytes that are wrong from a decoder that gets no memory`() {
        let shortage = WireError.noMemory("a ZSTD decoder", offset: 3).shifted(by: 4)
        #expect(shortage == .noMemory("a ZSTD decoder", offset: 7))
        #expect("\(shortage)" == "no memory for a ZSTD decoder (byte 7)")
        let refusal = ReplicationError(.init(shortage), "\(shortage)")
        #expect(refusal.exitCode == .osError)
        #expect(refusal.isTransient, "the source is left in order, and the flow is read again later")
        let fault = ReplicationError(.init(WireError.malformed("no ZSTD frame", offset: 0)), "no ZSTD frame")
        #expect(fault.exitCode == .protocolError)
        #expect(!fault.isTransient)
    }
}
