/// A problem at the source that an operator should know about.
struct Alert: Equatable, Sendable {
    /// The subject, which identifies the alert until it is cleared: `unanswered`, `log`, `replica <name>`.
    let name: String
    let message: String
}
