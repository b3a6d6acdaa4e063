import Replication

/// `df2redis verify`: has a running task compare both sides once, and mend what differs.
package struct TaskVerification: Sendable {
    package static let usualKeysPerSecond = 5000
    private static let pause = Duration.milliseconds(100)

    private let questions: TaskQuestions
    private let keysPerSecond: Int

    /// - Throws: `DemandFailure`
    package init(
        task: String, keysPerSecond: Int = usualKeysPerSecond, in directory: RuntimeDirectory = RuntimeDirectory()
    ) throws(DemandFailure) {
        do throws(ControlClient.Failure) {
            self.init(try TaskQuestions(task: task, in: directory), keysPerSecond: keysPerSecond)
        } catch {
            throw DemandFailure(error)
        }
    }

    init(_ questions: TaskQuestions, keysPerSecond: Int = usualKeysPerSecond) {
        self.questions = questions
        self.keysPerSecond = keysPerSecond
    }

    /// Begins a pass, or joins the one that is under way.
    ///
    /// - Throws: `DemandFailure`
    package func begin() async throws(DemandFailure) -> VerificationDocument {
        do {
            return try await questions.ask { [keysPerSecond] in try $0.verify(keysPerSecond: keysPerSecond) }
        } catch {
            throw DemandFailure(error)
        }
    }

    /// Begins a pass and waits for its end; Ctrl-C ends both, unless somebody else has begun it.
    ///
    /// - Parameters:
    ///   - onBegin: called once, before the others.
    ///   - onWait: what it waits for, each once.
    /// - Throws: `DemandFailure`
    package func run(
        onBegin: @escaping @Sendable (VerificationDocument) -> Void,
        onWait: @escaping @Sendable (String) -> Void,
        onProgress: @escaping @Sendable (VerificationDocument) -> Void
    ) async throws(DemandFailure) -> VerificationDocument {
        try await InterruptibleCommand.run(onInterrupt: { _ in }) {
            try await wait(onBegin: onBegin, onWait: onWait, onProgress: onProgress)
        }
    }

    /// As `run`; the caller's cancellation is what Ctrl-C is there.
    func wait(
        onBegin: @Sendable (VerificationDocument) -> Void, onWait: @Sendable (String) -> Void = { _ in },
        onProgress: @Sendable (VerificationDocument) -> Void
    ) async throws -> VerificationDocument {
        let first = try await questions.ask { [keysPerSecond] in try $0.verify(keysPerSecond: keysPerSecond) }
        onBegin(first)
        do {
            var (now, told) = (first, Set<String>())
            while !now.isOver, !now.isObstructed {
                onProgress(now)
                if let hindrance = now.hindrance, told.insert(hindrance).inserted { onWait(hindrance) }
                try await Task.sleep(for: Self.pause)
                now = try await questions.ask { try $0.verification() }
                guard now.pid == first.pid, now.number == first.number else { throw DemandFailure.restarted }
            }
            return now
        } catch {
            // Whoever has begun it ends it.
            if Task.isCancelled, !first.joined {
                await Task { [questions] in
                    _ = try? await questions.ask { try $0.stopVerification(first.number) }
                }.value
            }
            throw Task.isCancelled ? CancellationError() : error
        }
    }
}

/// A pass over both sides, as the task describes it.
package struct VerificationDocument: Decodable, Sendable, Equatable {
    package var pid: Int32
    /// The phase of the task.
    package var phase: String
    /// Why no key is read at the source at present.
    package var obstacle: String?
    package var number: Int
    package var state: String
    /// It was under way already.
    package var joined: Bool
    package var keysPerSecond: Int
    package var keys: Int
    package var expectedKeys: Int
    package var found: Int
    package var foreign: Int
    package var unplaced: Int
    package var leftOut: Int
    /// Keys that a policy leaves out; they did not differ.
    package var leftOutByPolicy: Int
    package var waiting: Int
    package var changing: Int
    package var failed: Int
    /// What differed and could not be mended.
    package var remaining: Int
    package var failure: String?
    /// Of a command that ends for `failure`.
    package var exitStatus: Int32

    var isOver: Bool { Verification.Phase(rawValue: state)?.isOver ?? true }

    /// Not begun, or interrupted.
    var isWaiting: Bool { state == Verification.Phase.waiting.rawValue }
    var isComparing: Bool { state == Verification.Phase.comparing.rawValue }

    /// Both sides have been compared, and nothing is read at the source before an operator acts.
    var isObstructed: Bool { state == Verification.Phase.mending.rawValue && waiting > 0 && obstacle != nil }

    /// What differed, and is not mended now.
    var unmended: Int { isObstructed ? waiting + remaining : remaining }

    /// Every key was compared, and what differed is mended.
    package var isDone: Bool { state == Verification.Phase.done.rawValue && remaining == 0 }

    /// How a command ends that has waited for the pass.
    package var commandStatus: ExitStatus {
        switch Verification.Phase(rawValue: state) {
        case .done: remaining == 0 ? .done : .keysDiffer
        case .failed: ExitStatus(code: exitStatus) ?? .sourceUnavailable
        case .mending where isObstructed: .keysDiffer
        case .idle, .waiting, .comparing, .mending, .stopped, nil: .notDone
        }
    }

    /// One line for a terminal.
    package var progress: String {
        switch Verification.Phase(rawValue: state) {
        case .waiting:
            "waiting: \(hindrance ?? "the task has not begun yet")"
        case .comparing:
            "comparing: \(keys) of \(expectedKeys) keys\(percent), \(found) different, \(waiting) to be read at the source"
        case .mending: "reading at the source: \(waiting) of \(found) keys left\(obstacle.map { ": \($0)" } ?? "")"
        default: state
        }
    }

    /// What has to come to an end before both sides can be compared; `nil`: they are, or will be in a moment.
    package var hindrance: String? {
        guard Verification.Phase(rawValue: state) == .waiting else { return nil }
        return failure ?? (phase == Phase.stable.rawValue ? nil : "the task is not stable (\(phase))")
    }

    private var percent: String { expectedKeys > 0 ? " (\(min(100, keys * 100 / expectedKeys)) %)" : "" }

    /// What it came to, a line for each thing to know.
    package var report: [String] {
        switch Verification.Phase(rawValue: state) {
        case .done: break
        case .mending where isObstructed:
            return ["\(keys) keys compared, \(found) of them differed, \(waiting) wait to be read", obstacle ?? ""]
        case .failed: return [failure ?? "both sides could not be compared"]
        case .stopped: return ["the comparison was stopped after \(keys) keys"]
        default: return [progress]
        }
        var lines = [
            found == 0
                ? "\(keys) keys compared, none differs"
                : "\(keys) keys compared, \(found) of them differed, \(mended) of these are mended"
        ]
        func add(_ count: Int, _ text: String) { if count > 0 { lines.append("\(count) \(text)") } }
        add(leftOutByPolicy, "are left out by policy, and are no differences: 'df2redis check' lists them")
        add(foreign, "are at the target only, in databases that others write to as well: they stay")
        add(unplaced, "are not mended: it is not known which shard of the source has them")
        add(leftOut, "are not mended: too many keys wait to be read at the source")
        add(changing, "change whenever they are read, and wait to be read again")
        add(failed, "could not be read or written meanwhile: the task's log and its *.dead-letters.jsonl say why")
        return lines
    }

    private var mended: Int { max(0, found - foreign - remaining) }
}
