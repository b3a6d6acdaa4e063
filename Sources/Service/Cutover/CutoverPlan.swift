import Base

/// Describes the steps of a cut-over for a dry run.
struct CutoverPlan {
    private let task: CutoverTask
    private let request: CutoverService.Request

    init(_ task: CutoverTask, _ request: CutoverService.Request) {
        self.task = task
        self.request = request
    }

    var lines: [String] {
        var steps: [String] = []
        let seconds = request.pauseLimit.components.seconds
        if request.verifies {
            steps.append(
                "compare both sides and mend what differs, while clients write (df2redis verify \(request.task))")
        }
        if request.pauses {
            let milliseconds = "\(request.pauseLimit / .milliseconds(1))".prefix { $0 != "." }
            steps.append("pause the writers of \(task.source) (CLIENT PAUSE \(milliseconds) WRITE)")
            steps.append(
                "wait until \(counted(task.flows, "flow", "has", "have")) applied what DFLY REPLICAOFFSET says")
        } else {
            steps.append("wait, \(seconds) s at most, until \(task.source) journals nothing and all of it is applied")
        }
        steps.append("read the keys at the source that wait for it, if there are any")
        steps.append("read the streams at the source that consumers have read without a record, if there are any")
        switch request.check {
        case .none: break
        case .sample(let percent): steps.append("compare \(percent) % of the keys")
        case .all: steps.append("compare all keys")
        }
        steps.append("have the task leave \(task.source) FIN-first, and set the source's own TTLs at \(task.target)")
        if request.pauses {
            steps.append(
                "keep the writers of \(task.source) waiting for another \(seconds) s, in which clients move to \(task.target)"
            )
        }
        return ["dry run: nothing was changed. A cut-over would"]
            + steps.enumerated().map { "  \($0.offset + 1). \($0.element)" }
    }
}
