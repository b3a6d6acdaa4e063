import Dragonfly
import Logging
import Redis

/// TTLs of elements that the target cannot keep, at the two ends of a session.
extension ReplicationSession {
    /// The configuration's, as far as the target lets us follow it: without scripts nobody ends the TTLs of elements, and in
    /// a cluster their lists would be in every slot.
    var policy: ReplicationPolicy {
        var policy = settings.policy
        if !rights.allows("EVAL") || control.isInCluster { policy.elementExpiry = .unsupported }
        return policy
    }

    /// A session that goes on takes over what the one before has left in the target; a full sync brings all anew.
    ///
    /// - Returns: by flow and database, the keys whose elements have TTLs that the target cannot keep.
    func elementKeysToTakeOver(flowCount: Int) async throws -> [[UInt32: [[UInt8]]]] {
        var keys = [[UInt32: [[UInt8]]]](repeating: [:], count: flowCount)
        if !isFullSync, policy.elementExpiry == .timer {
            for database in try await control.databasesWithKeys() {
                for flow in 0..<flowCount {
                    var cursor = "0"
                    repeat {
                        let page = try await control.dueKeys(
                            task: settings.task, flow: flow, database: database, cursor: cursor)
                        keys[flow][database, default: []] += page.keys
                        cursor = page.cursor
                    } while cursor != "0"
                }
            }
            return keys
        }
        let count = try await control.forgetElementExpiries(task: settings.task)
        if count > 0, !isFullSync {
            logger.warning(
                "\(count) keys hold elements whose TTLs nobody ends any more (policy.memberTTL: unsupported)")
        }
        return keys
    }

    /// Behind the leave: what stays until the task runs again.
    func tellOutstandingElements() async {
        var isNeeded = false
        for applier in appliers where await applier.hasElementExpiries { isNeeded = true }
        guard isNeeded else { return }
        let own = settings.partingControl(role: "outstanding")
        let (task, flowCount) = (settings.task, appliers.count)
        let count = await within(.seconds(2)) { try? await own.dueKeyCount(task: task, flowCount: flowCount) }
        await own.close()
        if count == 0 { return }
        logger.warning(
            "\(count.map { "\($0)" } ?? "some") keys hold elements with a TTL that df2redis keeps: they stay until this task runs again",
            metadata: ["phase": "leaving"])
    }
}
