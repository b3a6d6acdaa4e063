import Base
import Replication

/// The answer of `/api/check/latest`: the comparison on demand that is under way, or else the last one, made on demand
/// (`df2redis verify`) or by the task itself (`verify.keysPerSecond`).
struct LatestCheckDocument: Encodable, Equatable {
    enum State: String, Encodable {
        case notRun = "not_run"
        case running, completed, stopped, failed
    }

    let status: State
    /// RFC 3339; absent while it runs.
    private(set) var finishedAt: String?
    private(set) var keys = 0
    /// Keys that were different.
    private(set) var found = 0
    /// Of those, keys that are as at the source by now; absent if this is not known because they wait in the queue.
    private(set) var mended: Int?
    /// Keys that were different and still are; absent if `mended` is.
    private(set) var inconsistentKeys: Int?
    /// Keys that a policy leaves out; they did not differ.
    private(set) var leftOutByPolicy = 0
    /// A sentence.
    private(set) var message: String

    init(_ status: ReplicationStatus) {
        let (asked, own) = (status.verification, status.verifier?.finished)
        switch (asked, own) {
        case (let asked?, _) where asked.finishedAt == nil: self.init(running: asked)
        case (let asked?, let own?) where (asked.finishedAt ?? 0) < own.at: self.init(own)
        case (let asked?, _): self.init(ended: asked)
        case (nil, let own?): self.init(own)
        case (nil, nil): self.init(message: "none has been made since the task was started")
        }
    }

    private init(message: String) { (status, self.message) = (.notRun, message) }

    private init(running pass: Verification.Figures) {
        status = .running
        (keys, found, leftOutByPolicy) = (pass.progress.keys, pass.found, pass.progress.leftOut)
        message =
            pass.phase == .mending
            ? "\(pass.waiting) of \(counted(found, "key")) that differed \(pass.waiting == 1 ? "is" : "are") to be read at the source"
            : "\(keys) of \(counted(pass.progress.expectedKeys, "key")) compared, \(found) \(found == 1 ? "differs" : "differ")"
        if let failure = pass.failure { message += ": \(failure)" }
    }

    private init(ended pass: Verification.Figures) {
        status =
            switch pass.phase {
            case .failed: .failed
            case .stopped: .stopped
            case .idle, .waiting, .comparing, .mending, .done: .completed
            }
        finishedAt = pass.finishedAt.map(LegacyDocuments.time)
        (keys, found, leftOutByPolicy) = (pass.progress.keys, pass.found, pass.progress.leftOut)
        switch status {
        case .failed: message = pass.failure ?? "both sides could not be compared"
        case .stopped: message = "stopped after \(counted(keys, "key")), \(found) of them differed"
        case .notRun, .running, .completed:
            (mended, inconsistentKeys) = (pass.mended, pass.foreign + pass.remaining)
            message =
                found == 0
                ? "\(counted(keys, "key")), none differs"
                : "\(counted(keys, "key")), \(found) differed, \(pass.mended) \(pass.mended == 1 ? "is" : "are") mended"
            addLeftOut()
        }
    }

    /// A pass that the task made by itself. It reads the differing keys at the source while the next pass goes on.
    private init(_ pass: FinishedPass) {
        status = .completed
        finishedAt = LegacyDocuments.time(pass.at)
        (keys, found, leftOutByPolicy) = (pass.progress.keys, pass.found, pass.progress.leftOut)
        message =
            found == 0
            ? "\(counted(keys, "key")), none differs"
            : "\(counted(keys, "key")), \(found) differed and \(found == 1 ? "is" : "are") read at the source"
        addLeftOut()
    }

    private mutating func addLeftOut() {
        if leftOutByPolicy > 0 { message += ", \(leftOutByPolicy) left out by policy" }
    }
}
