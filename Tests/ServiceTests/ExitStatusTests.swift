import Foundation
import Glibc
import Link
import Redis
import Replication
import Testing
import Wire

@testable import Service

@Suite struct `The exit statuses` {
    @Test func `are those of sysexits, and equal codes agree on whether a restart may help`() {
        #expect(Set(Service.ExitStatus.allCases.map(\.code)) == [0, 1, 64, 65, 69, 70, 71, 73, 74, 75, 76, 77, 78])
        for status in Service.ExitStatus.allCases {
            let first = Service.ExitStatus(code: status.code)
            #expect(first?.code == status.code)
            #expect(first?.mayRestartHelp == status.mayRestartHelp, "\(status)")
        }
        #expect(Service.ExitStatus(code: 2) == nil)
    }

    @Test func `are in the table of the README`() throws {
        var path = URL(fileURLWithPath: #filePath)
        for _ in 0..<3 { path.deleteLastPathComponent() }
        let readme = try String(contentsOf: path.appendingPathComponent("README.md"), encoding: .utf8)
        #expect(readme.contains("\n\(Service.ExitStatus.table)\n"))
    }

    @Test(arguments: [
        SystemError("socket", errno: EMFILE, peer: "a:1"), SystemError("socket", errno: ENOBUFS, peer: "a:1"),
        SystemError("pthread_create", errno: EAGAIN, peer: "a:1"), SystemError("connect", errno: ENOMEM, peer: "a:1"),
    ])
    func `distinguish a refusal by the system from an unavailable peer`(error: SystemError) {
        let refusal = ReplicationError(TargetError(error))
        #expect(refusal.exitStatus == .systemRefused)
        #expect(refusal.isTransient, "a task that has begun waits until the system has some again")
        #expect(
            ReplicationError(TargetError(SystemError("connect", errno: EAGAIN, peer: "a:1"))).exitStatus
                == .targetUnavailable)
    }

    @Test func `distinguish wrong bytes from a decoder without memory`() {
        let shortage = WireError.noMemory("a ZSTD decoder", offset: 3).shifted(by: 4)
        #expect(shortage == .noMemory("a ZSTD decoder", offset: 7))
        #expect("\(shortage)" == "no memory for a ZSTD decoder (byte 7)")
        let refusal = ReplicationError(.init(shortage), "\(shortage)")
        #expect(refusal.exitStatus == .systemRefused)
        #expect(refusal.isTransient, "the source is left in order, and the flow is read again later")
        let fault = ReplicationError(.init(WireError.malformed("no ZSTD frame", offset: 0)), "no ZSTD frame")
        #expect(fault.exitStatus == .protocolViolated)
        #expect(!fault.isTransient)
    }
}
