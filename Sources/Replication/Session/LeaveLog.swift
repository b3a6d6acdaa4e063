import Dragonfly
import Link
import Logging

/// The log of a leave. Each line has the time since the leave began.
struct LeaveLog {
    let logger: Logger
    let start = ContinuousClock.now

    func log(_ text: String, flow: FlowID? = nil, level: Logger.Level = .info) {
        var metadata: Logger.Metadata = ["phase": "leaving"]
        if let flow { metadata["flow"] = "\(flow)" }
        logger.log(level: level, "\(text) (\(elapsed) ms)", metadata: metadata)
    }

    func end() {
        logger.notice("left in \(elapsed) ms", metadata: ["phase": "leaving", "event": "left"])
    }

    private var elapsed: Int64 { start.duration(to: .now).milliseconds }
}
