package import Replication

/// A list of keys as the body of a request. A key may contain any bytes.
///
/// ```
/// each key:  u32 LE database | u32 LE bytes of the key | key
/// ```
package struct KeyListBody: Sendable {
    /// The maximum number of bytes in one request.
    package static let longest = 1 << 20
    private static let headBytes = 8

    package private(set) var bytes: [UInt8] = []

    package init() {}

    /// - Returns: `false` if there is no room for the key, which is then not in the list.
    package mutating func append(_ key: RefreshKey) -> Bool {
        guard Self.hasRoom(for: key), bytes.count + Self.headBytes + key.key.count <= Self.longest else { return false }
        for number in [key.database, UInt32(key.key.count)] {
            withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
        }
        bytes += key.key
        return true
    }

    /// Whether the key fits in a body of its own.
    package static func hasRoom(for key: RefreshKey) -> Bool { headBytes + key.key.count <= longest }

    /// - Returns: `nil` if the body is not exactly a list of keys.
    package static func keys(in body: [UInt8]) -> [RefreshKey]? {
        var keys: [RefreshKey] = []
        var rest = body[...]
        while !rest.isEmpty {
            guard rest.count >= headBytes else { return nil }
            let count = Int(number(rest.dropFirst(4)))
            guard rest.count - headBytes >= count else { return nil }
            keys.append(RefreshKey(database: number(rest), key: Array(rest.dropFirst(headBytes).prefix(count))))
            rest = rest.dropFirst(headBytes + count)
        }
        return keys
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        bytes.prefix(4).reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }
}
