import Redis
import Servers

/// What a policy leaves out of the source, given what the target supports.
struct PolicyScope: Sendable {
    /// The target's profile; `nil` if no type is left out.
    private let profile: TargetProfile?
    private let databaseCount: UInt32?
    private let skippedDatabases: Set<UInt32>

    /// - Throws: `ServerError` if the target must be asked and cannot be.
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
