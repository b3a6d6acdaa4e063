import Wire

/// A command's name of up to 24 bytes, comparable without a String: what a journal record is looked up by.
package struct CommandName: Hashable, Sendable, ExpressibleByStringLiteral {
    @usableFromInline let words: (UInt64, UInt64, UInt64)

    /// - Returns: `nil` for a name that is longer than any we know.
    package init?(_ name: RawSpan) {
        guard name.byteCount <= 24 else { return nil }
        var words: (UInt64, UInt64, UInt64) = (0, 0, 0)
        withUnsafeMutableBytes(of: &words) { words in
            name.withUnsafeBytes { words.copyMemory(from: $0) }
            for index in words.indices where words[index] >= 0x61 && words[index] <= 0x7A { words[index] -= 0x20 }
        }
        self.words = words
    }

    /// Inlined, so that a literal of another module's `switch` becomes three constants.
    @inlinable package init(stringLiteral text: StaticString) {
        var words: (UInt64, UInt64, UInt64) = (0, 0, 0)
        withUnsafeMutableBytes(of: &words) { words in
            precondition(text.utf8CodeUnitCount <= 24, "no name that we know is longer")
            words.copyMemory(from: UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
        }
        self.words = words
    }

    @inlinable package static func == (a: CommandName, b: CommandName) -> Bool { a.words == b.words }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(words.0)
        hasher.combine(words.1)
        hasher.combine(words.2)
    }

    package var text: String {
        withUnsafeBytes(of: words) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    /// The name begins with `prefix`, up to 8 bytes of it.
    package func hasPrefix(_ prefix: StaticString) -> Bool {
        withUnsafeBytes(of: words) { bytes in
            for index in 0..<prefix.utf8CodeUnitCount where bytes[index] != prefix.utf8Start[index] { return false }
            return true
        }
    }
}
