import DragonflySimulator
import Foundation
import Lab
import Testing

/// The daemon in the foreground of a terminal of its own (`script` of util-linux makes one).
@Suite(
    .serialized,
    .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/script"), "there is no script(1)"))
struct `The daemon in a terminal` {
    private final class Scene {
        let master: SimulatedMaster
        let redis: RedisServer
        let folder: TemporaryFolder
        /// `script`: what is written to its input goes to the terminal's foreground, its end closes the terminal.
        let terminal: ChildProcess
        /// The process in the foreground.
        let daemon: pid_t
        private let keyboard: Int32

        init() throws {
            let master = try SimulatedMaster(.live(SyntheticDataSet(keys: 1000)))
            let redis = try RedisServer()
            let folder = try TemporaryFolder("terminal")
            let config = try folder.write(
                """
                source:
                  addr: 127.0.0.1:\(try master.start())
                target:
                  addr: 127.0.0.1:\(redis.port)
                stateDir: \(folder.path)
                """, to: "terminal.yaml")
            master.generateLoad(writesPerSecond: 2000, seed: 5)
            guard mkfifo(folder.file("keyboard"), 0o600) == 0 else {
                throw LabError("mkfifo in \(folder.path): errno \(errno)")
            }
            // Open at both ends, so that nobody waits for the other.
            keyboard = open(folder.file("keyboard"), O_RDWR | O_CLOEXEC)
            let terminal = try ChildProcess(
                "script",
                ["-qefc", "exec \(BuiltProgram.daemon.path) replicate --config \(config)", "/dev/null"],
                input: folder.file("keyboard"), output: folder.file("screen"))
            (self.master, self.redis, self.folder, self.terminal) = (master, redis, folder, terminal)
            try wait(until: "the daemon is stable", timeout: .seconds(60)) {
                guard terminal.isRunning else { throw LabError("df2redis ended:\n\(terminal.outputTail())") }
                return terminal.output.contains("stable: following")
            }
            let children = try String(
                contentsOfFile: "/proc/\(terminal.pid)/task/\(terminal.pid)/children", encoding: .utf8)
            daemon = try #require(children.split(separator: " ").first.flatMap { pid_t($0) })
        }

        func type(_ text: String) {
            let bytes = Array(text.utf8)
            _ = write(keyboard, bytes, bytes.count)
        }

        var acknowledgements: Int { master.flow(0)?.acknowledgements.count ?? 0 }

        func stop() {
            // Kill the terminal only: the daemon may have ended, and its id may be another process's by now.
            terminal.kill()
            redis.stop()
            master.stop()
            close(keyboard)
        }
    }

    @Test func `leaves in order with exit code 0 at Ctrl+C`() throws {
        let scene = try Scene()
        defer { scene.stop() }
        scene.type("\u{3}")
        // script hands on the exit code (-e).
        #expect(try scene.terminal.waitForEnd() == .exited(0), "\(scene.terminal.outputTail())")
        #expect(scene.terminal.output.contains("SIGINT received"))
        #expect(scene.master.main?.clientEnd == .fin)
        #expect(scene.master.violations == [])
    }

    @Test func `leaves even while the terminal's output is stopped`() throws {
        let scene = try Scene()
        defer { scene.stop() }
        scene.type("\u{13}")
        // Nobody reads the log lines of the leave.
        kill(scene.daemon, SIGTERM)
        try wait(until: "the source is left", timeout: .seconds(30)) { scene.master.main?.clientEnd == .fin }
        #expect(scene.master.violations == [])
        scene.type("\u{11}")
        #expect(try scene.terminal.waitForEnd() == .exited(0), "\(scene.terminal.outputTail())")
    }

    @Test func `goes on if the terminal is closed, and later leaves in order at SIGTERM`() throws {
        let scene = try Scene()
        defer { scene.stop() }
        scene.terminal.kill()
        let before = scene.acknowledgements
        try wait(until: "the daemon goes on for longer than its log has lines to write") {
            scene.acknowledgements > before + 5
        }
        #expect(scene.master.flow(0)?.clientEnd == nil)
        #expect(kill(scene.daemon, SIGTERM) == 0)
        try wait(until: "the daemon has left") { kill(scene.daemon, 0) != 0 }
        for connection in [scene.master.flow(0), scene.master.flow(1), scene.master.main] {
            #expect(connection?.clientEnd == .fin)
        }
        #expect(scene.master.violations == [])
    }
}
