package import Comparison
import Dragonfly
package import Link
import Logging
import Redis
import Replication
import Servers

/// `df2redis check`: compares both sides of a task, and reports what differs.
package struct ComparisonService: Sendable {
    /// The options from the command line.
    package struct Request: Sendable {
        package var mode = ComparisonOptions.Mode.value
        package var samplePercent = 100.0
        package var filter: String?
        package var databases: Set<UInt32>?
        package var commandsPerSecond = 0
        package var parallel = 4
        package var settleSeconds = 2.0
        /// The file for the differing keys; if `nil`, `<task>.check.jsonl` in the state directory.
        package var output: String?

        package init() {}
    }

    /// The result of a comparison.
    package struct Outcome: Sendable {
        package var summary: ComparisonSummary
        /// The file that lists the differing keys; `nil` if it could not be created.
        package var file: String?
        /// The requested databases in which neither side has a key.
        package var emptyDatabases: [UInt32] = []
        /// The error because of which the file lacks differing keys; `nil` if the list is complete.
        package var fileFailure: SystemError?

        /// Says where the differing keys are listed, or why they are not, as a clause that follows their number.
        package var listing: String {
            if let fileFailure { return "which could not all be written to a file (\(fileFailure))" }
            return file.map { "see \($0)" } ?? "which are in no file"
        }

        package var exitStatus: ExitStatus {
            if fileFailure != nil { return .fileFailed }
            return summary.isEqual ? .done : .keysDiffer
        }
    }

    /// The reason why there is no result.
    package struct Failure: Error, Sendable, CustomStringConvertible {
        package let description: String
        package let exitStatus: ExitStatus
    }

    private let configuration: Configuration
    private let request: Request

    package init(configuration: Configuration, request: Request) {
        self.configuration = configuration
        self.request = request
    }

    /// Compares both sides.
    ///
    /// - Parameter onMissingFile: called before the comparison if the default file cannot be created; the result then comes
    ///   without a list of keys.
    package func run(
        onMissingFile: (SystemError) -> Void = { _ in },
        onProgress: @escaping @Sendable (ComparisonProgress) -> Void
    ) async throws(Failure) -> Outcome {
        let settings = ReplicatorSettings(configuration, mode: .replicate)
        let checkpoint = CheckpointKey(task: settings.task, prefix: settings.checkpoint.keyPrefix)
        var options = ComparisonOptions(checkpointKey: checkpoint.name)
        options.mode = request.mode
        options.samplePercent = request.samplePercent
        options.filter = request.filter
        options.databases = request.databases
        options.commandsPerSecond = request.commandsPerSecond
        options.parallel = request.parallel
        options.settle = .seconds(request.settleSeconds)
        options.apply(settings)

        let path = request.output ?? "\(configuration.stateDirectory)/\(configuration.taskName).check.jsonl"
        let servers = ServerPair(source: settings.source, target: settings.targetSettings(forCommand: "check"))
        do throws(ServerError) { try await ServerKinds(servers).requireSuitableTarget() } catch {
            throw Failure(error, settings.task)
        }
        let file: DifferenceFile?
        var creationFailure: SystemError?
        do throws(SystemError) { file = try DifferenceFile(path: path) } catch {
            // The operator did not name the default file, so the result is still worth having without a list
            // (`Outcome.fileFailure`).
            guard request.output == nil else {
                throw Failure(
                    description: "the differing keys cannot be written: \(error); --output names another file",
                    exitStatus: .fileNotCreated)
            }
            (file, creationFailure) = (nil, error)
            onMissingFile(error)
        }
        let comparison = Comparison(
            servers, options: options, onDifference: { file?.append($0) }, onProgress: onProgress)
        let summary: ComparisonSummary
        do throws(ServerError) { summary = try await comparison.run() } catch { throw Failure(error, settings.task) }
        let empty = (request.databases ?? []).subtracting(summary.databases).subtracting(summary.leftOutDatabases.keys)
        return Outcome(
            summary: summary, file: file == nil ? nil : path, emptyDatabases: empty.sorted(),
            fileFailure: creationFailure ?? file?.failure)
    }
}

extension ComparisonService.Failure {
    fileprivate init(_ error: ServerError, _ task: String) {
        self.init(description: error.description.namingCredentials(of: task), exitStatus: error.exitStatus)
    }
}

extension ComparisonOptions {
    /// Makes the comparison accept what a task with these settings does on purpose.
    mutating func apply(_ settings: ReplicatorSettings) {
        ttlMargins = Set(settings.ttlMargins)
        leavesOutUnsupported = settings.policy.onUnsupported == .skip
        skippedDatabases = settings.policy.skippedDatabases
    }
}
