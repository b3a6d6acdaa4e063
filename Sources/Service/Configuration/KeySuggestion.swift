/// Finds what the writer of a misspelt word most likely meant.
enum KeySuggestion {
    /// Returns the candidate nearest to `word`, or nil when none is near enough to be meant.
    ///
    /// Case, `_` and `-` do not count, so that `batch_size` finds `batchSize`.
    static func nearest(to word: String, among candidates: some Sequence<String>) -> String? {
        let plain = simplified(word)
        let limit = max(1, min(3, plain.count / 3))
        var best: (candidate: String, distance: Int)?
        for candidate in candidates {
            let distance = distance(from: plain, to: simplified(candidate))
            if distance <= limit, distance < best?.distance ?? .max { best = (candidate, distance) }
        }
        return best?.candidate
    }

    /// Returns how many letters must be added, removed, changed or swapped with a neighbour to
    /// turn one into the other.
    ///
    /// The optimal string alignment distance, three rows at a time.
    static func distance(from first: [UInt8], to second: [UInt8]) -> Int {
        var beforeLast: [Int] = []
        var last = Array(0...second.count)
        for i in first.indices {
            var row = [i + 1]
            row.reserveCapacity(second.count + 1)
            for j in second.indices {
                let change = last[j] + (first[i] == second[j] ? 0 : 1)
                var cost = min(change, last[j + 1] + 1, row[j] + 1)
                if i > 0, j > 0, first[i] == second[j - 1], first[i - 1] == second[j] {
                    cost = min(cost, beforeLast[j - 1] + 1)
                }
                row.append(cost)
            }
            (beforeLast, last) = (last, row)
        }
        return last[second.count]
    }

    /// The word in lower case without separators; capped, so that a pasted text costs nothing.
    private static func simplified(_ word: String) -> [UInt8] {
        word.lowercased().utf8.filter { $0 != UInt8(ascii: "_") && $0 != UInt8(ascii: "-") }.prefix(64).map(\.self)
    }
}
