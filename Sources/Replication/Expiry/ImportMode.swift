import Logging
import Redis

/// Switches the import mode of Valkey 8.1 and later on and off.
///
/// In import mode the target expires nothing by itself, and a connection that declares itself an import source sees and
/// changes expired keys. So every deadline in the target is the source's own, and no margin is needed.
///
/// A field of the checkpoint's hash says that df2redis has switched the mode on. Whoever ends the task switches it off,
/// perhaps another process.
struct ImportMode {
    enum Owner: Equatable, Sendable {
        case off
        /// The operator has switched it on, and has to switch it off.
        case operators
        case ours
    }

    static let field = (name: "import-mode", value: "on")
    private static let parameter = "import-mode"

    let control: TargetControl
    let checkpoint: CheckpointKey
    let logger: Logger

    /// Switches the import mode on.
    ///
    /// - Parameters:
    ///   - claim: what the target has just reported.
    ///   - wasOurs: whether this process has switched the mode on before; somebody may have emptied the target since.
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

    /// Switches the import mode off if df2redis has switched it on.
    ///
    /// - Parameter owner: who has switched it on; `nil` if this process does not know.
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
