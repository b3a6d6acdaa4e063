import ArgumentParser
import Service

struct Cutover: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make the target of a running task the server that clients write to.",
        discussion: """
            Looks at the task and both servers, compares both sides and mends what differs, pauses the source's writers, waits until everything is applied, reads \
            the groups of streams that consumers have read without a record, compares again if asked to, and has the task leave with exact TTLs. It then says where to point clients. On any failure before \
            the task leaves, and on Ctrl-C, writers and task go on as before. A task that was cut over does not start \
            again: --undo lets it. Exit status: 0 done; 65 the task is not ready for a cut \
            over; 69 the task does not run; 1 keys differ; 75 interrupted, not in time, or another cut-over is under way; \
            77 no right.
            """)

    private static let usualPauseLimit = 10
    private static let usualCheck = "none"

    @Argument(help: ArgumentHelp("The task's name.", valueName: "task"))
    var task: String

    @Option(
        name: .customLong("config"),
        help: ArgumentHelp("The task's configuration. Default: the file that it was started with.", valueName: "file"))
    var file: String?

    @Option(
        help: ArgumentHelp(
            "How long the source's writers may be kept waiting before the task leaves, and then once more as long.",
            valueName: "seconds"))
    var pauseLimit = usualPauseLimit

    @Flag(help: "Pause nobody: the writers have been stopped by other means.")
    var noPause = false

    @Option(
        help: ArgumentHelp("Compare keys while writers wait: none, all, or a sample such as '5%'.", valueName: "extent")
    )
    var check = usualCheck

    @Flag(help: "Do not compare both sides, and mend what differs, before writers are paused.")
    var noVerify = false

    @Flag(
        help: "Let a task start again that has been cut over: its full sync overwrites what clients have written since."
    )
    var undo = false

    @Flag(help: "Look at everything, and say what would be done.")
    var dryRun = false

    func validate() throws {
        // Refuse the other options: an operator who adds one, such as --dry-run to be careful, relies on its effect.
        if undo, pauseLimit != Self.usualPauseLimit || noPause || check != Self.usualCheck || noVerify || dryRun {
            throw ValidationError("--undo goes with --config only, and was not done.")
        }
        if !(1...3600).contains(pauseLimit) { throw ValidationError("--pause-limit is 1 to 3600.") }
        _ = try extent()
    }

    private func extent() throws -> CutoverService.Check {
        switch check {
        case "none": return .none
        case "all": return .all
        default:
            // "5%", "5", "sample 5%".
            var text = Substring(check)
            if text.hasPrefix("sample") { text = text.dropFirst("sample".count).drop { $0 == " " || $0 == ":" } }
            if text.hasSuffix("%") { text = text.dropLast() }
            guard let percent = Double(text), percent > 0, percent <= 100 else {
                throw ValidationError("--check is none, all, or a percentage above 0 and at most 100, such as '5%'.")
            }
            return .sample(percent)
        }
    }

    func run() async throws {
        if undo { return try await takeBack() }
        var request = CutoverService.Request(task: task)
        request.configurationFile = file
        request.pauses = !noPause
        request.pauseLimit = .seconds(pauseLimit)
        request.check = try extent()
        request.verifies = !noVerify
        request.isDryRun = dryRun
        let service = CutoverService(request) { Console.report($0) }
        do throws(CutoverFailure) { try await service.run() } catch {
            Console.complain(error.description)
            throw ExitCode(error.exitStatus)
        }
    }

    private func takeBack() async throws {
        let undo = try CutoverUndo(task: task, configurationFile: file)
        do throws(CutoverFailure) {
            Console.report(try await undo.run())
        } catch {
            Console.complain(error.description)
            throw ExitCode(error.exitStatus)
        }
    }
}
