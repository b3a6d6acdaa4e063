/// The answer of `/health` and `/ready`, also part of the status: `{"status":"ok"}`, or a code and a reason.
package struct HealthDocument: JSONDocument, Equatable {
    package enum Status: String, Codable, Sendable {
        case ok, unavailable
    }

    package var status: Status
    package var code: Health.Code?
    package var reason: String?
    /// What an operator should do although the task is healthy.
    package var detail: String?

    package init(_ health: Health, detail: String? = nil) {
        switch health {
        case .good:
            status = .ok
            self.detail = detail
        case .bad(let code, let reason):
            status = .unavailable
            (self.code, self.reason) = (code, reason)
        }
    }
}
