extension RawSpan {
    package func isEqual(to other: RawSpan) -> Bool {
        guard byteCount == other.byteCount else { return false }
        for offset in 0..<byteCount where self[offset] != other[offset] { return false }
        return true
    }

    package func startsWith(_ text: StaticString) -> Bool {
        guard byteCount >= text.utf8CodeUnitCount else { return false }
        for offset in 0..<text.utf8CodeUnitCount where self[offset] != text.utf8Start[offset] { return false }
        return true
    }

    package func isText(_ text: StaticString) -> Bool { byteCount == text.utf8CodeUnitCount && startsWith(text) }

    /// Whether the text is `word` in upper or lower case. `word` itself must be in upper case.
    package func isWord(_ word: StaticString) -> Bool {
        guard byteCount == word.utf8CodeUnitCount else { return false }
        for offset in 0..<byteCount {
            let byte = self[offset]
            let upper = byte >= 0x61 && byte <= 0x7A ? byte - 0x20 : byte
            if upper != word.utf8Start[offset] { return false }
        }
        return true
    }
}
