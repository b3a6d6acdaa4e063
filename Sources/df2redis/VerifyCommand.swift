import ArgumentParser
import Dashboard
import Service

struct Verify: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Have a running task compare both sides once, and mend what differs.",
        discussion: """
            What differs, time and again while nothing wrote to it, is read at the source and put at the target, where in \
            the stream it is true. It ends when every key has been compared and what differed is mended. One pass at a time: \
            a second one joins the first. Ctrl-C ends the pass that it has begun. Exit status: 0 both sides are equal now; \
            1 some keys could not be mended; 69 the task does not run; 75 interrupted, or the task cannot; 77 no right.
            """)

    @Argument(help: ArgumentHelp("The task's name.", valueName: "task"))
    var task: String

    @Option(
        help: ArgumentHelp(
            "Keys that are compared in a second, and read at the source in a second at most.", valueName: "number"))
    var keysPerSecond = TaskVerification.usualKeysPerSecond

    @Flag(help: "Ask for it, and do not wait for its end.")
    var noWait = false

    func validate() throws {
        if !(1...1_000_000).contains(keysPerSecond) { throw ValidationError("--keys-per-second is 1 to 1000000.") }
    }

    func run() async throws {
        let line = ProgressLine()
        let document: VerificationAnswer
        do throws(OperatorRequestFailure) {
            let verification = try TaskVerification(task: task, keysPerSecond: keysPerSecond)
            if noWait {
                announce(try await verification.begin())
                return
            }
            document = try await verification.run(
                onBegin: { if $0.joined == true { announce($0) } },
                onWait: { line.sayWithoutTerminal("\(task): waiting: \($0)") },
                onProgress: { line.show($0.progress) })
        } catch {
            line.clear()
            Console.complain("\(task): \(error)")
            throw ExitCode(error.exitStatus)
        }
        line.clear()
        if document.commandStatus == .done || document.commandStatus == .keysDiffer {
            for text in document.report { try Console.say("\(task): \(text)") }
        } else {
            Console.complain("\(task): \(document.report[0])")
        }
        throw ExitCode(document.commandStatus)
    }

    private func announce(_ document: VerificationAnswer) {
        let verb = document.joined == true ? "a comparison is under way already" : "comparing both sides"
        Console.report("\(task): \(verb), at \(document.keysPerSecond) keys a second")
    }
}
