/// Reports once when the lag exceeds the limit, and once when it has fallen below half of the limit.
struct LagAlarm: Equatable {
    enum Change: Equatable {
        case high
        case normal
    }

    /// `nil` reports nothing.
    let limit: Duration?
    private(set) var isHigh = false

    init(limit: Duration?) { self.limit = limit }

    mutating func update(_ lag: Duration) -> Change? {
        guard let limit else { return nil }
        if !isHigh, lag > limit {
            isHigh = true
            return .high
        }
        if isHigh, lag < limit / 2 {
            isHigh = false
            return .normal
        }
        return nil
    }
}
