import Logging
import Redis

/// The import mode of a Valkey from 8.1 on: it expires nothing by itself, and a connection that says it is an import
/// source sees and changes what has expired. So every deadline is the source's own, and no margin is needed.
///
/// A field of the checkpoint's hash tells that it was df2redis that switched it on: whoever ends the task switches it off,
/// another process perhaps.
struct ImportMode {
    static let field = "import-mode"
    private static let parameter = "import-mode"

    let control: TargetControl
    let checkpoint: CheckpointKey
    let logger: Logger

    /// - Returns: whether the target is in import mode now.
    func begin(_ profile: TargetProfile) async throws -> Bool {
        guard profile.hasImportMode else { return false }
        do {
            // Switched on by the operator, it is the operator's to switch off.
            if try await control.parameter(Self.parameter) != "yes" {
                try await control.update(checkpoint.name, set: [Self.field: "on"], remove: [])
                try await control.setParameter(Self.parameter, to: "yes")
            }
            logger.info("the target is in import mode: it expires nothing by itself meanwhile")
            return true
        } catch {
            guard error.code != .unreachable, !error.isTransient else { throw error }
            logger.warning(
                "the target's import mode cannot be used: \(error); TTLs near their end are written with a margin")
            try await control.update(checkpoint.name, set: [:], remove: [Self.field])
            return false
        }
    }

    /// Switches it off, if it was df2redis that switched it on.
    func end() async {
        let fields: [String: String]
        do { fields = try await control.hash(checkpoint.name) } catch {
            logger.info(
                "whether the target is in import mode cannot be asked: \(error)", metadata: ["phase": "leaving"])
            return
        }
        guard fields[Self.field] != nil else { return }
        do {
            try await control.setParameter(Self.parameter, to: "no")
            try await control.update(checkpoint.name, set: [:], remove: [Self.field])
            logger.info("the target's import mode is off again")
        } catch {
            logger.warning(
                "the target may still be in import mode, and expire nothing (CONFIG SET import-mode no): \(error)")
        }
    }
}
