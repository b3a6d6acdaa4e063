import Redis
import Servers

/// What of the source a policy leaves out, as the target is.
struct PolicyScope: Sendable {
    /// `nil`: no type is left out.
    private let profile: TargetProfile?
    private let databaseCount: UInt32?
    private let skippedDatabases: Set<UInt32>

    /// - Throws: `ServerError`, where the target has to be asked.
    init(_ options: ComparisonOptions, _ target: TargetSettings) async throws(ServerError) {
        skippedDatabases = options.skippedDatabases
        guard options.leavesOutUnsupported else {
            (profile, databaseCount) = (nil, nil)
            return
        }
        let control = TargetControl(connector: TargetConnector(settings: target), role: "check")
        do throws(TargetError) {
            (profile, databaseCount) = (try await control.profile(), try await control.databaseCount())
        } catch {
            await control.close()
            throw .target(error)
        }
        await control.close()
    }

    func leavesOut(type: String) -> Bool { profile?.lacksType(named: type) ?? false }

    func leavesOut(database: UInt32) -> Bool {
        skippedDatabases.contains(database) || databaseCount.map { database >= $0 } ?? false
    }
}
