import DragonflySimulator
import Foundation
import Lab
import Testing

@Suite struct `A program that is started with its standard descriptors closed` {
    private func shell(_ script: String, _ argument: String = "", in folder: TemporaryFolder) throws -> ChildProcess {
        try ChildProcess(
            "/bin/sh", ["-c", script, BuiltProgram.daemon.path, argument], output: folder.file("output"),
            environment: ["RUNTIME_DIRECTORY": folder.file("run")])
    }

    @Test func `opens /dev/null in their place`() throws {
        let (source, target) = (try startedMaster(), try RedisServer())
        let folder = try TemporaryFolder("closed")
        let config = try folder.write(
            """
            source: {addr: "127.0.0.1:\(source.port)"}
            target: {addr: "127.0.0.1:\(target.port)"}
            dashboard: {addr: ""}
            stateDir: \(folder.path)
            """, to: "lab.yaml")
        let daemon = try shell("exec \"$0\" replicate --config \"$1\" <&- >&- 2>&-", config, in: folder)
        defer {
            daemon.kill()
            source.stop()
            target.stop()
        }
        try wait(until: "it is stable") {
            guard daemon.isRunning else { throw LabError("it has ended") }
            let status = FileManager.default.contents(atPath: folder.file("lab.status.json"))
                .flatMap { try? JSONSerialization.jsonObject(with: $0) as? [String: Any] }
            return status?["phase"] as? String == "stable"
        }
        for number in 0...2 {
            let file = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(daemon.pid)/fd/\(number)")
            #expect(file == "/dev/null")
        }
        #expect(daemon.terminate() == .exited(0))
    }

    @Test func `still exits with an error if it cannot print`() throws {
        let folder = try TemporaryFolder("closed")
        let printing = try shell("exec \"$0\" config --print-default >&-", in: folder)
        #expect(try printing.waitForEnd() == .exited(74))
    }
}
