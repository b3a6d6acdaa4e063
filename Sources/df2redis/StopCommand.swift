import ArgumentParser
import Service

struct Stop: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Stop a running task in order, and wait for its end.",
        discussion: """
            The task leaves its source as on SIGTERM and 'systemctl stop'. A process that does not answer is sent SIGTERM. \
            Exit status: 0 it has ended; 69 it does not run; 74 its socket fails; 75 it was still there after --timeout, and \
            goes on leaving, or was killed with --force; 77 this user may not ask it, or send it a signal.
            """)

    @Argument(help: ArgumentHelp("The task's name.", valueName: "task"))
    var task: String

    @Option(help: ArgumentHelp("How long to wait for its end.", valueName: "seconds"))
    var timeout = 30

    @Flag(help: "Kill it (SIGKILL) when the time is over. Its source then notices a replica that hangs.")
    var force = false

    func validate() throws {
        if !(0...86_400).contains(timeout) {
            throw ValidationError("--timeout is a number of seconds from 0 to 86400.")
        }
    }

    func run() throws {
        let status: ExitStatus
        do throws(ControlClient.Failure) {
            let stop = TaskStop(
                try RuntimeDirectory().socket(ofRunning: task), timeout: .seconds(timeout), force: force)
            switch try stop.run({ Console.report("\(task): \($0)") }) {
            case .ended:
                Console.report("\(task): ended")
                status = .done
            case .stillLeaving(let last):
                Console.complain(
                    "\(task): still there after \(timeout) s (\(last)); it goes on leaving. --force kills it")
                status = .notDone
            case .silent(let process):
                Console.complain(
                    "\(task): still there after \(timeout) s: process \(process) does not answer, and leaves when it "
                        + "comes to the SIGTERM that it has been sent. --force kills it")
                status = .notDone
            case .killed:
                Console.complain(
                    "\(task): killed after \(timeout) s. Under systemd it is started again, and leaves the source then: "
                        + "'systemctl stop df2redis@\(task)' keeps it stopped")
                status = .notDone
            }
        } catch {
            Console.complain("\(task): \(error)")
            status = error.exitStatus
        }
        throw ExitCode(status)
    }
}
