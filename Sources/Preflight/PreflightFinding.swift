import Link

/// One finding of a preflight: what was checked, what was found, and what to do about it.
package struct PreflightFinding: Equatable, Sendable {
    package enum Level: String, Sendable, CaseIterable {
        case ok
        /// The task can run, but something will be lost, slower or a problem sooner or later.
        case warn
        /// The task would not start, or would stop.
        case fail
    }

    package enum Subject: String, Sendable {
        case source, target, host, task
    }

    package let level: Level
    package let subject: Subject
    /// What was checked, in a word or two: `rights`, `memory`.
    package let topic: String
    package let message: String
    /// What to do; `nil` if there is nothing to do.
    package let remedy: String?

    package init(
        _ level: Level, _ subject: Subject, _ topic: String, _ message: String, remedy: String? = nil
    ) {
        self.level = level
        self.subject = subject
        self.topic = topic
        self.message = message
        self.remedy = remedy
    }

    package var json: String {
        let fields = [
            ("level", level.rawValue), ("subject", subject.rawValue), ("topic", topic), ("message", message),
        ]
        let all = fields + (remedy.map { [("remedy", $0)] } ?? [])
        return JSONText.object(all.map { ($0.0, JSONText.quoted($0.1)) })
    }
}
