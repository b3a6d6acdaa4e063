/// A password: it can be handed to the one who needs it, and never printed by accident.
///
/// Every textual form (`description`, `debugDescription`, a mirror, string interpolation, `dump`) is `<redacted>`.
package struct Secret: Sendable, Equatable {
    private let text: String

    package init(_ text: String) {
        self.text = text
    }

    /// Whether somebody has copied what is printed for a secret.
    package var isPlaceholder: Bool { text == description }

    /// Returns the password itself, for the AUTH command only.
    package func reveal() -> String { text }
}

extension Secret: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "<redacted>" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
