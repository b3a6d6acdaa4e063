import Logging
import Redis

/// The import mode of a Valkey from 8.1 on: it expires nothing by itself, and a connection that says it is an import
/// source sees and changes what has expired. So every deadline is the source's own, and no margin is needed.
///
/// A field of the checkpoint's hash says that df2redis has switched it on: whoever ends the task switches it off,
/// another process perhaps.
struct ImportMode {
    enum Owner: Equatable, Sendable {
        case off
        /// Switched on by the operator, it is the operator's to switch off.
        case operators
        case ours
    }

    static let field = (name: "import-mode", value: "on")
    private static let parameter = "import-mode"

    let control: TargetControl
    let checkpoint: CheckpointKey
    let logger: Logger

    /// Switches it on.
    ///
    /// - Parameters:
    ///   - claim: what the target has said just now.
    ///   - wasOurs: this process has switched it on before; somebody may have emptied the target since.
    func begin(_ claim: TaskLease.Claim, wasOurs: Bool) async throws -> Owner {
        guard claim.profile.hasImportMode else { return .off }
        do {
            let isOn: Bool
            if let known = claim.target.isInImportMode {
                isOn = known
            } else {
                isOn = try await control.parameter(Self.parameter) == "yes"
            }
            let isNoted = claim.task.checkpoint[Self.field.name] != nil
            let isOurs = wasOurs || !isOn || isNoted
            if isOurs, !isOn {
                try await control.setParameter(
                    Self.parameter, to: "yes", noting: Self.field, in: checkpoint.name)
            } else if isOurs, !isNoted {
                try await control.update(checkpoint.name, set: [Self.field.name: Self.field.value], remove: [])
            }
            logger.info("import mode is on at the target: it expires no keys by itself")
            return isOurs ? .ours : .operators
        } catch {
            guard error.code != .unreachable, !error.isTransient else { throw error }
            logger.warning(
                "cannot switch the target's import mode on: \(error); short TTLs are written with a margin")
            try await control.update(checkpoint.name, set: [:], remove: [Self.field.name])
            return .off
        }
    }

    /// Switches it off, if it was df2redis that switched it on.
    ///
    /// - Parameter owner: `nil`: not known to this process.
    func end(_ owner: Owner?) async {
        switch owner {
        case .off, .operators: return
        case .ours: break
        case nil:
            do {
                guard try await control.hash(checkpoint.name)[Self.field.name] != nil else { return }
            } catch {
                logger.info(
                    "cannot read the target's import mode: \(error)", metadata: ["phase": "leaving"])
                return
            }
        }
        do {
            try await control.setParameter(Self.parameter, to: "no")
            try await control.update(checkpoint.name, set: [:], remove: [Self.field.name])
            logger.info("import mode is off at the target")
        } catch {
            logger.warning(
                "the target may still be in import mode, and expire nothing (CONFIG SET import-mode no): \(error)")
        }
    }
}
