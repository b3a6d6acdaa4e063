import DragonflySimulator
import Foundation
import Lab
import Wire

/// The folder of the recorded masters.
let recordingsFolder = Bundle.module.bundlePath + "/Recordings"

func recording(_ name: String) -> RecordedRun { RecordedRun(name, in: recordingsFolder) }

extension [UInt8] {
    init(_ text: String) { self = Array(text.utf8) }
}

/// The time that systemd allows for a leave (`TimeoutStopSec=`): the machine may be busy with other things.
let stopLimit = Duration.seconds(30)

/// A simulated master that has been started.
func startedMaster(
    _ dataSet: DataSet = .live(nil), shards: Int = 2, _ change: (inout MasterOptions) -> Void = { _ in }
) throws -> SimulatedMaster {
    var options = MasterOptions()
    options.shardCount = shards
    change(&options)
    let master = try SimulatedMaster(dataSet, options: options)
    try master.start()
    return master
}

/// A random seed, printed so that a run can be repeated, or the seed of the run to repeat (`DF2REDIS_SEED`).
func printedSeed() -> UInt64 {
    let seed = ProcessInfo.processInfo.environment["DF2REDIS_SEED"].flatMap { UInt64($0) } ?? .random(in: 0 ... .max)
    print("seed \(seed)")
    return seed
}

extension RESPClient {
    /// The number of keys in the selected database, database 0, without the keys of a running task itself.
    var dataKeys: Int64 {
        get throws {
            let own = [
                "df2redis:checkpoint:lab", "df2redis:checkpoint:lab:owner", "df2redis:tasks", "df2redis:database:lab",
            ]
            guard let all = try command("DBSIZE").int, let ours = try command(["EXISTS"] + own).int else {
                throw LabError("DBSIZE and EXISTS are numbers")
            }
            return all - ours
        }
    }
}

/// Polls until `target` holds what `source` holds.
func waitUntilEqual(_ source: RESPClient, _ target: RESPClient, timeout: Duration = .seconds(90)) throws {
    try waitUntilEqual(timeout: timeout) { try ServerComparison(source: source, target: target).differences }
}

/// Polls until `differences` returns none; after the timeout, throws the last ones.
func waitUntilEqual(timeout: Duration = .seconds(90), _ differences: () throws -> [Difference]) throws {
    let deadline = ContinuousClock.now + timeout
    while true {
        let found = try differences()
        if found.isEmpty { return }
        if ContinuousClock.now >= deadline {
            throw LabError("not equal after \(timeout):\n\(Difference.report(found))")
        }
        usleep(100_000)
    }
}

/// Runs blocking code on a thread of its own, so that the pool's few threads stay free for other tests.
func onThread<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
    try await withCheckedThrowingContinuation { continuation in
        Thread { continuation.resume(with: Result { try body() }) }.start()
    }
}

extension RedisCluster {
    /// Moves a hundred slots between two masters, other ones in each of three rounds.
    func moveHundredSlots(_ round: Int) throws {
        let masters = try masters()
        let (from, to) = (masters[round % 3], masters[(round + 1) % 3])
        let slots = try view().nodes.first { $0.id == from.id }?.slots.flatMap { Array($0) } ?? []
        try moveSlots(slots.dropFirst(100 * round).prefix(100), from: from, to: to)
    }

    /// Loses a master, in another way in each of three rounds: a failover, a restart, a crash with a successor.
    func loseMaster(_ round: Int) throws {
        let lost = try masters()[round]
        switch round {
        case 0: try failOver(lost)
        case 1:
            lost.server.kill()
            try lost.server.restart()
        default:
            lost.server.kill()
            try waitForSuccessor(of: lost)
            try lost.server.restart()
        }
        try settle()
    }
}
