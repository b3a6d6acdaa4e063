import Link
import Logging
import Redis

/// Reports what the target, and others who use it, do to the task's keys.
extension IncidentLog {
    /// Warns that the target may remove keys when its memory is full.
    ///
    /// - Parameter isInCluster: in a cluster, keys in the slots themselves record what is applied, and these may be evicted
    ///   too.
    func reportEviction(_ figures: TargetFigures, isInCluster: Bool) {
        guard figures.mayEvict else { return }
        if isInCluster, figures.evictsMarks {
            reportOnce(
                "maxmemory-policy \(figures.evictionPolicy) may evict df2redis' own marks ({...}df2redis:mark:...) as well, by which a cluster's slots say what they have applied: then INCR, APPEND, LPUSH and the like may be applied twice after a lost connection or a restart. Set maxmemory-policy noeviction, or a volatile one, at every node",
                level: .warning)
        }
        reportOnce(
            "the target evicts keys when its maxmemory of \(figures.memoryLimitBytes >> 20) MiB is full (maxmemory-policy \(figures.evictionPolicy)): what it evicts is missing there, and the source does not send it again. Set maxmemory-policy noeviction",
            level: .warning)
    }

    func reportEvicted(_ count: Int, policy: String) {
        record(count, ofKind: .evicted) { total in
            "the target has evicted \(counted(total, "key")) since this task began (maxmemory-policy \(policy)): they are missing there. Set maxmemory-policy noeviction, give it more memory, then empty it for a full sync"
        }
    }

    func reportExpired(_ count: Int) {
        record(count, ofKind: .expiredAtTarget, level: .notice) { total in
            "the target has expired \(counted(total, "key")) by its own clock since this task began: keys of others, or keys that are overdue and whose end the source has not journaled yet"
        }
    }

    func report(_ others: OtherTasks) {
        let others = others.filling
        guard !others.isEmpty else { return }
        reportOnce(
            "the target is filled by other tasks too: \(others). In a database of theirs this task removes nothing but keys that it is known to have brought; databases of its own are the better way (if one of them is gone for good: HDEL \(TaskRegistry.key) <its name here>)"
        )
    }

    /// - Parameter databases: the databases in which a global command has removed nothing, or not everything that it should
    ///   have.
    func reportShared(_ databases: Set<UInt32>, _ command: GlobalCommand) {
        record(databases.count, ofKind: .sharedDatabase) { _ in
            let list = databases.sorted().map(String.init).joined(separator: ", ")
            return
                "\(command.name) of the source has removed nothing in database \(list) of the target: another task fills it too, and which keys are this task's is not known there. To have them removed: stop the tasks, empty the target, and start them, which syncs them in full"
        }
    }
}
