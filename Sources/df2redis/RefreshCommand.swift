import ArgumentParser
import Service

struct Refresh: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Have a running task read keys at the source again, and put them at the target.",
        discussion: """
            For what a policy has skipped and is wanted after all, and for what differs. A key that the source does not have \
            is removed from the target. A line of --from is a line of *.dead-letters.jsonl, one that 'df2redis check' has \
            written, or else a key as it is. Exit status: 0 all are as at the source; 1 some could not be read or written; 69 \
            the task does not run; 75 interrupted, or the task cannot; 77 no right.
            """)

    @Argument(help: ArgumentHelp("The task's name.", valueName: "task"))
    var task: String

    @Argument(help: ArgumentHelp("Keys of the source.", valueName: "key"))
    var keys: [String] = []

    @Option(help: ArgumentHelp("The database of keys that come without one.", valueName: "number"))
    var db: UInt32 = 0

    @Option(name: .customLong("from"), help: ArgumentHelp("A file with keys; - is standard input.", valueName: "file"))
    var file: String?

    @Option(
        help: ArgumentHelp(
            "Keys that are read in a second, beyond those of refresh.keysPerSecond.", valueName: "number"))
    var keysPerSecond = TaskRefresh.usualKeysPerSecond

    @Flag(help: "Ask for them, and do not wait until they are read.")
    var noWait = false

    func validate() throws {
        if keys.isEmpty, file == nil { throw ValidationError("Name a key, or a file with --from.") }
        if keys.contains("") { throw ValidationError("A key is not empty.") }
        if !(1...1_000_000).contains(keysPerSecond) { throw ValidationError("--keys-per-second is 1 to 1000000.") }
    }

    func run() async throws {
        let line = ProgressLine()
        let outcome: TaskRefresh.Outcome
        do throws(OperatorRequestFailure) {
            let refresh = try TaskRefresh(task: task, keysPerSecond: keysPerSecond)
            outcome = try await refresh.run(
                KeySource(keys: keys, path: file, database: db), waits: !noWait,
                onWait: { line.sayWithoutTerminal("\(task): waiting: \($0)") },
                onProgress: { line.show($0.progress) })
        } catch {
            line.clear()
            Console.complain("\(task): \(error)")
            throw ExitCode(error.exitStatus)
        }
        line.clear()
        for text in outcome.report(waited: !noWait) { Console.report("\(task): \(text)") }
        throw ExitCode(outcome.exitStatus)
    }
}
