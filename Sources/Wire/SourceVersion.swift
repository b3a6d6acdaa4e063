/// A release of Dragonfly, as the AUX field `df-ver` and `INFO server` name it.
package struct SourceVersion: Comparable, Hashable, Sendable, CustomStringConvertible {
    package var major: Int
    package var minor: Int
    package var patch: Int

    package init(_ major: Int, _ minor: Int, _ patch: Int) {
        (self.major, self.minor, self.patch) = (major, minor, patch)
    }

    /// Reads `df-v1.36.0`, `v1.36.0` or `1.36.0`, with any text after the numbers.
    ///
    /// - Returns: `nil` for any other text, which a build between two releases may send.
    package init?(_ text: some StringProtocol) {
        let parts = text.drop { !$0.isNumber }.split(separator: ".", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, let major = Int(parts[0]), let minor = Int(parts[1]),
            let patch = Int(parts[2].prefix { $0.isNumber })
        else { return nil }
        self.init(major, minor, patch)
    }

    package var description: String { "v\(major).\(minor).\(patch)" }

    package static func < (a: SourceVersion, b: SourceVersion) -> Bool {
        (a.major, a.minor, a.patch) < (b.major, b.minor, b.patch)
    }
}
