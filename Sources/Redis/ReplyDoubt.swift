/// What a reply may mean to a command whose effect at the source is not certain.
package struct ReplyDoubt: Equatable, Sendable {
    package let divergence: Divergence
    /// The name of the source's command, which a script may have replaced.
    package let commandName: String

    package init(_ divergence: Divergence, command: String) { (self.divergence, commandName) = (divergence, command) }
}
