import Base
package import Dashboard
import Replication

/// Texts and exit status for the command that requested the comparison.
extension VerificationAnswer {
    private var pass: VerificationDocument { content }

    /// Whether all keys are compared and the remaining ones cannot be mended until an operator acts.
    var isObstructed: Bool { pass.state == .mending && pass.waiting > 0 && obstacle != nil }

    /// The number of keys that differed and are not mended.
    var unmended: Int { isObstructed ? pass.waiting + pass.remaining : pass.remaining }

    /// The result of a command that waited for the comparison.
    package var commandStatus: ExitStatus {
        switch pass.state {
        case .done: pass.remaining == 0 ? .done : .keysDiffer
        case .failed: ExitStatus(code: pass.exitStatus) ?? .sourceUnavailable
        case .mending where isObstructed: .keysDiffer
        case .idle, .waiting, .comparing, .mending, .stopped: .notDone
        }
    }

    /// One line for a terminal.
    package var progress: String {
        switch pass.state {
        case .waiting:
            "waiting: \(waitReason ?? "the task has not begun yet")"
        case .comparing:
            "comparing: \(pass.keys) of \(counted(pass.expectedKeys, "key"))\(percent), \(pass.found) different, \(pass.waiting) to be read at the source"
        case .mending:
            "reading at the source: \(pass.waiting) of \(counted(pass.found, "key")) left\(obstacle.map { ": \($0)" } ?? "")"
        case .idle, .done, .stopped, .failed: pass.state.rawValue
        }
    }

    /// What must end before both sides can be compared; `nil` if they are being compared or will be in a moment.
    package var waitReason: String? {
        guard pass.state == .waiting else { return nil }
        return pass.failure ?? (phase == .stable ? nil : "the task is not stable (\(phase.rawValue))")
    }

    private var percent: String {
        pass.expectedKeys > 0 ? " (\(min(100, pass.keys * 100 / pass.expectedKeys)) %)" : ""
    }

    /// The result for an operator, one fact per line.
    package var report: [String] {
        switch pass.state {
        case .done: break
        case .mending where isObstructed:
            return [
                "\(compared), \(pass.found) of them differed, \(pass.waiting) \(pass.waiting == 1 ? "waits" : "wait") to be read",
                obstacle ?? "",
            ]
        case .failed: return [pass.failure ?? "both sides could not be compared"]
        case .stopped: return ["the comparison was stopped after \(counted(pass.keys, "key"))"]
        case .idle, .waiting, .comparing, .mending: return [progress]
        }
        var lines = [
            pass.found == 0
                ? "\(compared), none differs"
                : "\(compared), \(pass.found) of them differed, \(mended) of these \(mended == 1 ? "is" : "are") mended"
        ]
        func add(_ count: Int, _ one: String, _ many: String) {
            if count > 0 { lines.append("\(count) \(count == 1 ? one : many)") }
        }
        add(
            pass.leftOutByPolicy, "is left out by policy, and is no difference: 'df2redis check' lists it",
            "are left out by policy, and are no differences: 'df2redis check' lists them")
        add(
            pass.foreign, "is at the target only, in a database that others write to as well: it stays",
            "are at the target only, in databases that others write to as well: they stay")
        add(
            pass.unplaced, "is not mended: it is not known which shard of the source has it",
            "are not mended: it is not known which shard of the source has them")
        add(
            pass.leftOut, "is not mended: too many keys wait to be read at the source",
            "are not mended: too many keys wait to be read at the source")
        add(
            pass.changing, "changes whenever it is read, and waits to be read again",
            "change whenever they are read, and wait to be read again")
        let reason = "could not be read or written meanwhile: the task's log and its *.dead-letters.jsonl say why"
        add(pass.failed, reason, reason)
        return lines
    }

    private var compared: String { "\(counted(pass.keys, "key")) compared" }
    private var mended: Int { max(0, pass.found - pass.foreign - pass.remaining) }
}
