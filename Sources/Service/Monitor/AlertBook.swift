/// Which alerts are raised: each is reported once when it comes up, and once when it is over. Pure.
struct AlertBook {
    enum Change: Equatable, Sendable {
        case raised(Alert)
        /// With the words that it was raised with.
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

    /// - Parameter found: all that is wrong now.
    /// - Returns: what has changed, in order of the names.
    mutating func update(_ found: [Alert]) -> [Change] {
        let known = Set(raised.map(\.name))
        let present = Set(found.map(\.name))
        let new = found.filter { !known.contains($0.name) }
        let over = raised.filter { !present.contains($0.name) }
        raised = raised.filter { present.contains($0.name) } + new
        return (new.map { .raised($0) } + over.map { .cleared($0) }).sorted { $0.alert.name < $1.alert.name }
    }
}
