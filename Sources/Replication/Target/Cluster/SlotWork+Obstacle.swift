import Redis

extension SlotWork {
    /// The slot that prevents the work from being done, and why; `nil` if only answers are outstanding.
    var obstacle: String? {
        for part in 0..<partCount where state(of: part) != .done {
            if let retry = retries[part] { return "slot \(slot(of: part)): \(retry.cause.text)" }
        }
        return nil
    }
}

extension SlotWork.Retry.Cause {
    var text: String {
        switch self {
        case .passing(let text), .redirected(.down(let text)): text
        case .redirected(.moved(_, let endpoint)): "MOVED\(endpoint.map { " to \($0)" } ?? "")"
        case .redirected(.ask(_, let endpoint)): "ASK\(endpoint.map { " \($0)" } ?? "")"
        case .redirected(.tryAgain): "TRYAGAIN: it is being moved to another node"
        }
    }
}
