package import Replication

/// The answer to an operator's request: its content, and the process that answered with its state. The JSON has all fields
/// on one level.
@dynamicMemberLookup
package struct OperatorRequestAnswer<Content: JSONDocument>: JSONDocument {
    /// If it changes, the task was restarted and no longer knows earlier requests.
    package var pid: Int32
    /// The phase of the task.
    package var phase: Phase
    /// Why no keys are read at the source; `nil` if keys are read.
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

extension OperatorRequestAnswer: Equatable where Content: Equatable {}

/// The reason why a task refuses a request.
package struct RefusalDocument: JSONDocument {
    /// A sentence.
    package var error: String
    /// The reason for programs: `OperatorRequests.Refusal.Code`, or `request` if the request is malformed.
    package var code: String?

    package init(error: String, code: String? = nil) { (self.error, self.code) = (error, code) }
}
