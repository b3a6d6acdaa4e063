/// A password, a token or a URL that contains one: it can be handed to its user, but is never printed by accident.
///
/// Every textual form (`description`, `debugDescription`, a mirror, string interpolation, `dump`) is `<redacted>`.
package struct Secret: Sendable, Equatable {
    private let text: String

    package init(_ text: String) {
        self.text = text
    }

    /// Whether the text is the placeholder that is printed for a secret, so somebody has copied it.
    package var isPlaceholder: Bool { text == description }

    /// Returns the secret itself, only for the request or program that needs it.
    package func reveal() -> String { text }
}

extension Secret: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "<redacted>" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
