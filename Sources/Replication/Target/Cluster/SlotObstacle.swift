import Redis

extension SlotWork {
    /// Which slot keeps it from being done, and why; `nil`: answers are outstanding, and nothing else.
    var obstacle: String? {
        for part in 0..<partCount where state(of: part) != .done {
            if let trouble = troubles[part] { return "slot \(slot(of: part)): \(trouble.cause.text)" }
        }
        return nil
    }
}

extension SlotWork.Trouble.Cause {
    var text: String {
        switch self {
        case .passing(let text), .redirected(.down(let text)): text
        case .redirected(.moved(_, let endpoint)): "MOVED\(endpoint.map { " to \($0)" } ?? "")"
        case .redirected(.ask(_, let endpoint)): "ASK\(endpoint.map { " \($0)" } ?? "")"
        case .redirected(.tryAgain): "TRYAGAIN: it is being moved to another node"
        }
    }
}
