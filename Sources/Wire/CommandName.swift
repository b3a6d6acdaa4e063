/// The name of a command in upper case, comparable without a String. Journal records are looked up by it.
///
/// All known names have up to 24 bytes. A longer name is equal to none of them.
///
/// Public, although nothing outside the package can see it: a `package` initializer is not inlined in other modules, and then
/// each comparison with a literal builds the name again.
public struct CommandName: Hashable, Sendable, ExpressibleByStringLiteral {
    @usableFromInline let words: (UInt64, UInt64, UInt64)

    private static let longest = 24

    package init(_ name: RawSpan) {
        guard name.byteCount <= Self.longest else {
            words = (.max, .max, .max)
            return
        }
        var words: (UInt64, UInt64, UInt64) = (0, 0, 0)
        withUnsafeMutableBytes(of: &words) { words in
            name.withUnsafeBytes { words.copyMemory(from: $0) }
        }
        words.0 = Self.uppercase(words.0)
        if name.byteCount > 8 {
            words.1 = Self.uppercase(words.1)
            words.2 = Self.uppercase(words.2)
        }
        self.words = words
    }

    /// Always inlined, so that a literal becomes three constants.
    @inlinable @inline(__always) public init(stringLiteral text: StaticString) {
        var words: (UInt64, UInt64, UInt64) = (0, 0, 0)
        withUnsafeMutableBytes(of: &words) { words in
            precondition(text.utf8CodeUnitCount <= 24, "no name that we know is longer")
            words.copyMemory(from: UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
        }
        self.words = words
    }

    /// Converts eight letters at once: clears the bit 0x20 of each byte from `a` to `z`.
    private static func uppercase(_ letters: UInt64) -> UInt64 {
        let low = letters & 0x7F7F_7F7F_7F7F_7F7F
        let fromA = low &+ 0x1F1F_1F1F_1F1F_1F1F
        let afterZ = low &+ 0x0505_0505_0505_0505
        let isLowercase = (fromA ^ afterZ) & ~letters & 0x8080_8080_8080_8080
        return letters ^ (isLowercase >> 2)
    }

    /// Compares the whole names, always inlined.
    @inlinable @inline(__always) public static func == (a: CommandName, b: CommandName) -> Bool { a.words == b.words }

    /// Hashes the whole name.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(words.0)
        hasher.combine(words.1)
        hasher.combine(words.2)
    }

    package var text: String {
        withUnsafeBytes(of: words) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    /// Whether the name begins with `prefix`.
    package func hasPrefix(_ prefix: StaticString) -> Bool {
        withUnsafeBytes(of: words) { bytes in
            for index in 0..<prefix.utf8CodeUnitCount where bytes[index] != prefix.utf8Start[index] { return false }
            return true
        }
    }
}
