import Foundation
import Testing

@testable import Lab

@Suite struct `The writers' waits that a torture reports` {
    private let start = ContinuousClock.now
    private func happening(_ fault: Torture.Fault, at: Int, lasting: Int) -> Torture.InjectedFault {
        let begin = start + .milliseconds(at)
        return Torture.InjectedFault(fault: fault, start: begin, end: begin + .milliseconds(lasting))
    }
    private func wait(_ duration: Int, at: Int) -> TortureLoad.Wait {
        TortureLoad.Wait(start: start + .milliseconds(at), duration: .milliseconds(duration))
    }

    @Test func `are the longest ones, each with the fault that began last before it`() {
        var report = Torture.Report()
        let happenings = [
            happening(.targetCut, at: 1000, lasting: 10), happening(.daemonStopped, at: 2000, lasting: 500),
        ]
        let waits = [wait(300, at: 500), wait(200, at: 995), wait(400, at: 1600), wait(900, at: 2100)]
        report.note(waits, happenings) { $0.duration(to: $1) / 2 }

        #expect(report.waitsOtherwise.map(\.duration) == [.milliseconds(400), .milliseconds(300)])
        #expect(report.waitsOtherwise.map(\.fault) == [.targetCut, nil])
        #expect(report.waitsOtherwise.first?.sinceFault == .milliseconds(600))
        #expect(report.waitsOtherwise.first?.faultLasted == .milliseconds(10))
        #expect(report.waitsOtherwise.first?.withoutProcessor == .milliseconds(200))
        #expect(report.waitsOfStoppedDaemon.map(\.duration) == [.milliseconds(900)])
    }

    @Test func `count against the daemon if they begin after a stop has ended`() {
        var report = Torture.Report()
        report.note([wait(900, at: 2600)], [happening(.daemonStopped, at: 2000, lasting: 500)]) { _, _ in .zero }
        #expect(report.waitsOfStoppedDaemon.isEmpty)
        #expect(report.waitsOtherwise.map(\.fault) == [.daemonStopped])
    }

    @Test func `are the longest of all rounds`() {
        var report = Torture.Report()
        for round in 1...9 {
            report.note([wait(round, at: 0)], [happening(.targetCut, at: 0, lasting: 1)]) { _, _ in .zero }
        }
        #expect(report.waitsOtherwise.map(\.duration) == [9, 8, 7, 6, 5].map { .milliseconds($0) })
    }
}

/// The short form of `make torture`: every kind of fault, under load of commands that are not idempotent.
@Suite(.serialized) struct `Faults in random order` {
    private struct Outcome: Sendable {
        var report: Torture.Report
        var violations: [String]
    }

    /// Runs a torture on a thread of its own: it takes a minute, and the pool has few threads.
    private static func run(_ options: Torture.Options) async throws -> Outcome {
        try await onThread {
            let source = try TortureSource(shards: options.shards, isReal: false)
            defer { source.stop() }
            let torture = try Torture(options, source: source) { print("  torture: \($0)") }
            do { try torture.run() } catch {
                // The last lines are in the error; the whole log shows how it came to it.
                print(torture.log)
                throw error
            }
            return Outcome(report: torture.report, violations: torture.report.violations(source.stop()))
        }
    }

    private var options: Torture.Options {
        var options = Torture.Options()
        if let seed = ProcessInfo.processInfo.environment["DF2REDIS_SEED"].flatMap({ UInt64($0) }) {
            options.seed = seed
        }
        // So slow that what the master keeps, 8,192 records a shard, outlasts half a minute of a busy machine.
        options.commandsPerSecond = 500
        options.faultsPerRound = 8
        options.limit = .seconds(45)
        return options
    }

    @Test(.timeLimit(.minutes(10)))
    func `leave source and target equal key by key, without a needless full sync`() async throws {
        let options = options
        print("torture: seed \(options.seed)")
        let outcome = try await Self.run(options)
        let report = outcome.report
        for kind in Torture.TargetKind.standalone.faults {
            #expect(report.faults[kind] ?? 0 > 0, "\(kind) had its turn")
        }
        #expect(report.fullSyncs == 0, "seed \(options.seed): \(report.fullSyncReasons)")
        #expect(outcome.violations == [], "seed \(options.seed)")
        #expect(report.continued > 0)
        #expect(report.comparedKeys > 100, "there was something to compare")
    }

    @Test(.enabled(if: SmallFileSystem.isPossible, "nothing can be mounted here"), .timeLimit(.minutes(10)))
    func `that fill a real disk cost a new session but no record`() async throws {
        var options = options
        options.spoolFileSystemBytes = 8 << 20
        options.kinds = [.diskFilled, .spoolFilled, .targetStopped]
        options.faults = 6
        options.faultsPerRound = 3
        print("torture: seed \(options.seed)")
        let outcome = try await Self.run(options)
        #expect(outcome.report.fullSyncs == 0, "seed \(options.seed): \(outcome.report.fullSyncReasons)")
        #expect(outcome.violations == [], "seed \(options.seed)")
        #expect(outcome.report.overflows["the disk is full", default: 0] > 0)
        #expect(outcome.report.overflows["the budget is spent", default: 0] == 0)
    }
}
