/// Tasks that wait for the same event.
///
/// Not Sendable: it belongs to one actor.
struct Waiters {
    private var continuations: [CheckedContinuation<Void, Never>] = []

    mutating func add(_ continuation: CheckedContinuation<Void, Never>) { continuations.append(continuation) }

    mutating func resumeAll() {
        for continuation in continuations { continuation.resume() }
        continuations = []
    }
}
