/// Something at the source that an operator should know of.
struct Alert: Equatable, Sendable {
    /// What it is about; the same until it is cleared: `unanswered`, `log`, `replica <name>`.
    let name: String
    let message: String
}
