import ArgumentParser
import Comparison
import Service

struct Check: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Compare both sides key by key, also while the task runs.",
        discussion: """
            Nothing is written to either server. A key that differs is read again once the target has what the source had \
            journaled, and is reported when it differs each time and nothing has changed in between. Exit status 0: \
            equal, 1: different.
            """)

    @OptionGroup var task: TaskOptions

    @Option(
        help: ArgumentHelp(
            "What is compared: outline (existence, type, TTL), length (and how long values are) or value (and all of them).",
            valueName: "mode"))
    var mode = ComparisonOptions.Mode.value

    @Option(help: ArgumentHelp("Compare so many percent of the keys, another choice each time.", valueName: "percent"))
    var sample = 100.0

    @Option(help: ArgumentHelp("Compare keys that match this glob pattern only.", valueName: "pattern"))
    var filter: String?

    @Option(help: ArgumentHelp("Compare these databases only, as in 0,3.", valueName: "list"))
    var databases: String?

    @Option(help: ArgumentHelp("Commands a second at each server at most; 0: no limit.", valueName: "number"))
    var qps = 0

    @Option(help: ArgumentHelp("Connections to each server that compare.", valueName: "number"))
    var parallel = 4

    @Option(
        help: ArgumentHelp(
            "How long a differing key must be unchanged where the task's position is not known.", valueName: "seconds"))
    var settle = 2.0

    @Option(
        help: ArgumentHelp(
            "The file of differing keys, a line of JSON each. Default: <task>.check.jsonl in stateDir.",
            valueName: "file"))
    var output: String?

    @Flag(help: "Print the result as JSON.")
    var json = false

    func validate() throws {
        if !(sample > 0 && sample <= 100) { throw ValidationError("--sample is above 0 and at most 100.") }
        if !(0...100_000_000).contains(qps) { throw ValidationError("--qps is 0 to 100000000.") }
        if !(1...64).contains(parallel) { throw ValidationError("--parallel is 1 to 64.") }
        if !(0.1...3600).contains(settle) { throw ValidationError("--settle is 0.1 to 3600.") }
        // An empty pattern matches no key, and a comparison of no keys finds both sides equal.
        if filter?.isEmpty == true { throw ValidationError("--filter is a pattern, as in 'user:*'.") }
        _ = try databaseNumbers()
    }

    private func databaseNumbers() throws -> Set<UInt32>? {
        guard let databases else { return nil }
        let numbers = databases.split(separator: ",", omittingEmptySubsequences: false).map { UInt32($0) }
        guard !numbers.contains(nil) else { throw ValidationError("--databases is a list of numbers, as in 0,3.") }
        return Set(numbers.compactMap(\.self))
    }

    func run() async throws {
        let loaded = try ConfigurationLoader().load(task.file, taskName: task.taskName)
        for warning in loaded.warnings { Console.complain("warning: \(warning)") }
        var request = ComparisonService.Request()
        request.mode = mode
        request.samplePercent = sample
        request.filter = filter
        request.databases = try databaseNumbers()
        request.commandsPerSecond = qps
        request.parallel = parallel
        request.settleSeconds = settle
        request.output = output
        let service = ComparisonService(configuration: loaded.configuration, request: request)
        let line = ProgressLine()
        let outcome: ComparisonService.Outcome
        do throws(ComparisonService.Failure) {
            outcome = try await service.run(
                onMissingFile: {
                    Console.complain(
                        "warning: the differing keys will not be listed: \($0); --output names another file")
                },
                onProgress: { line.show($0) })
        } catch {
            line.clear()
            Console.complain(error.description)
            throw ExitCode(error.exitStatus)
        }
        line.clear()
        for database in outcome.emptyDatabases {
            Console.complain("warning: neither side has a key in database \(database)")
        }
        let report = ComparisonReport(outcome)
        try Console.say(json ? report.json : report.text)
        if let failure = outcome.fileFailure, outcome.file != nil {
            Console.complain("not all differing keys could be written: \(failure); --output names another file")
        }
        throw ExitCode(outcome.exitStatus)
    }
}

extension ComparisonOptions.Mode: ExpressibleByArgument {}
