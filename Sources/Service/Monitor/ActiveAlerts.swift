/// Keeps the raised alerts: reports each once when it begins and once when it is over. Pure.
struct ActiveAlerts {
    enum Change: Equatable, Sendable {
        case raised(Alert)
        /// Carries the message with which the alert was raised.
        case cleared(Alert)

        var alert: Alert {
            switch self {
            case .raised(let alert), .cleared(let alert): alert
            }
        }

        var state: String {
            switch self {
            case .raised: "raised"
            case .cleared: "cleared"
            }
        }
    }

    private(set) var raised: [Alert] = []

    /// - Parameter found: all alerts that apply now.
    /// - Returns: the changes, sorted by name.
    mutating func update(_ found: [Alert]) -> [Change] {
        let known = Set(raised.map(\.name))
        let present = Set(found.map(\.name))
        let new = found.filter { !known.contains($0.name) }
        let over = raised.filter { !present.contains($0.name) }
        raised = raised.filter { present.contains($0.name) } + new
        return (new.map { .raised($0) } + over.map { .cleared($0) }).sorted { $0.alert.name < $1.alert.name }
    }
}
