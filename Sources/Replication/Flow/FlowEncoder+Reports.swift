import Dragonfly
import Redis
import Wire

/// What the target cannot have as the source has it: counted, listed, and by policy the end.
extension FlowEncoder {
    func report(_ divergence: Divergence, subject: String, key: RawSpan, database: UInt32) {
        report(divergence, subject: subject, printableKey: printableKey(key), database: database)
    }

    func report(_ divergence: Divergence, subject: String, printableKey key: String, database: UInt32) {
        context.incidents.record(
            .init(
                severity: .diverging, kind: divergence.rawValue, flow: flow, database: database, key: key,
                reason: divergence.reason, subject: subject))
    }

    func reportDoubt(printableKey key: String, database: UInt32) {
        report(.elementExpiryInDoubt, subject: "element", printableKey: key, database: database)
    }

    func reportLostPendingEntries(printableKey key: String, database: UInt32) {
        report(.pendingEntries, subject: "stream", printableKey: key, database: database)
    }

    /// What is written to a database that the target lacks, or whose keys are left out on purpose.
    ///
    /// - Parameter database: of the command, where it moves its key to `missing`.
    func reportLeftOut(_ missing: UInt32, subject: String, key: RawSpan, database: UInt32) {
        guard context.policy.skippedDatabases.contains(missing) else {
            return report(.database, subject: subject, key: key, database: database)
        }
        context.incidents.record(
            .init(
                severity: .missing, kind: Unsupported.database.rawValue, flow: flow, database: database,
                key: printableKey(key), reason: "target.database leaves out database \(missing)", subject: subject))
    }

    func report(_ unsupported: Unsupported, subject: String, key: RawSpan, database: UInt32) {
        report(unsupported, subject: subject, printableKey: printableKey(key), database: database)
    }

    /// - Returns: the error to stop with, if the policy says so; decoding has been halted with it.
    @discardableResult
    func report(
        _ unsupported: Unsupported, subject: String, printableKey key: String, database: UInt32
    ) -> ReplicationError? {
        context.incidents.record(
            .init(
                severity: .missing, kind: unsupported.rawValue, flow: flow, database: database, key: key,
                reason: unsupported.reason, subject: subject))
        guard context.policy.onUnsupported == .stop, unsupported.mayStop else { return nil }
        let remedy = unsupported == .database ? ", and so does target.database: {<number>: skip}" : ""
        let error = ReplicationError(
            .policy, flow: flow,
            "\(subject) \(key) in database \(database): \(unsupported.reason) (policy.onUnsupported: stop; skip goes on\(remedy))"
        )
        fail(error)
        return error
    }

    /// Keys of our own under which values were being built, with their databases.
    var partialKeys: [(database: UInt32, key: [UInt8])] {
        writers.values.compactMap { writer in writer.partialKey.map { (writer.head.database, $0) } }
    }

    func countConflict() { conflictingKeys += 1 }
}
