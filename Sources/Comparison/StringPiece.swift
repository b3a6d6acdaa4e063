import Servers
import Wire

/// The first bytes of a string, as both sides have it.
enum StringPiece {
    private static let magic = Array("HYLL".utf8)
    /// Where a HyperLogLog has its count. A server puts it there when it is asked for it (`PFCOUNT`), which is no change of
    /// the value.
    private static let count = 8..<16

    /// Whether the strings can be equal, as far as these bytes go.
    static func areEqual(_ a: RESPValue, _ b: RESPValue) -> Bool {
        if a == b { return true }
        guard let a = a.bytes, let b = b.bytes, a.count == b.count, a.count >= count.upperBound,
            a.starts(with: magic), b.starts(with: magic)
        else { return false }
        return a[..<count.lowerBound] == b[..<count.lowerBound] && a[count.upperBound...] == b[count.upperBound...]
    }
}
