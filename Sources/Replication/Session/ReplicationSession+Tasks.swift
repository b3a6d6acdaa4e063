import Logging
import Redis

/// Other tasks that fill the target: what they have written is never removed by this one.
extension ReplicationSession {
    func reportOtherTasks() async throws {
        let others = try await control.others(in: registry)
        hasOtherTasks = !others.isEmpty
        incidents.report(others)
    }

    func flush(_ command: GlobalCommand, fields: [(field: String, value: String)]) -> Flush {
        var flush = Flush(
            command, task: settings.task, checkpointKey: checkpointKey.name, fields: fields, registry: registry)
        flush.databases = databases.known.union(databases.filling.keys)
        flush.canFlush = rights.canFlush
        // A session that has begun with a full sync knows what it has brought.
        if isFullSync, hasOtherTasks {
            flush.brought = { [appliers] keys, database in
                var brought: [[UInt8]] = []
                for applier in appliers { brought += await applier.brought(keys, database: database) }
                return brought
            }
        }
        return flush
    }
}
