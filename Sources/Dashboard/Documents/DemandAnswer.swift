package import Replication

/// The answer to a demand: what it says, and of which process in which state it is. In JSON all fields are side by side.
@dynamicMemberLookup
package struct DemandAnswer<Content: JSONDocument>: JSONDocument {
    /// Another one: the task has been restarted, and knows nothing of what was asked before.
    package var pid: Int32
    /// Of the task.
    package var phase: Phase
    /// Why no key is read at the source at present; `nil`: keys are read.
    @OrNull package var obstacle: String?
    package var content: Content

    package init(_ content: Content, pid: Int32, phase: Phase, obstacle: String?) {
        (self.pid, self.phase, self.content) = (pid, phase, content)
        self.obstacle = obstacle
    }

    package subscript<Value>(dynamicMember field: KeyPath<Content, Value>) -> Value { content[keyPath: field] }

    private enum CodingKeys: CodingKey {
        case pid, phase, obstacle
    }

    package init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            try Content(from: decoder), pid: try fields.decode(Int32.self, forKey: .pid),
            phase: try fields.decode(Phase.self, forKey: .phase),
            obstacle: try fields.decodeIfPresent(String.self, forKey: .obstacle))
    }

    package func encode(to encoder: any Encoder) throws {
        var fields = encoder.container(keyedBy: CodingKeys.self)
        try fields.encode(pid, forKey: .pid)
        try fields.encode(phase, forKey: .phase)
        try fields.encode(obstacle, forKey: .obstacle)
        try content.encode(to: encoder)
    }
}

extension DemandAnswer: Equatable where Content: Equatable {}

/// Why a task does not do what it was asked for.
package struct RefusalDocument: JSONDocument {
    /// A sentence.
    package var error: String
    /// For programs: `TaskDemands.Refusal.Code`, or `request` for a question that is none.
    package var code: String?

    package init(error: String, code: String? = nil) { (self.error, self.code) = (error, code) }
}
