/// The token that a request must carry, if one is set.
package struct BearerToken: Sendable {
    private let text: [UInt8]

    package init(_ text: String) { self.text = Array(text.utf8) }

    /// - Parameter header: the value of `Authorization`.
    func accepts(_ header: String?) -> Bool {
        guard let header, header.utf8.count > Self.scheme.count,
            header.prefix(Self.scheme.count).lowercased() == Self.scheme
        else { return false }
        let given = Array(header.dropFirst(Self.scheme.count).utf8)
        guard given.count == text.count else { return false }
        // Compare all bytes, so that the time does not reveal where the first difference is.
        return zip(given, text).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }

    private static let scheme = "bearer "
}
