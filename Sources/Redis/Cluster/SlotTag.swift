import Wire

/// Names of df2redis' own keys in a given slot: `{<tag>}df2redis:...`, in which the hash tag alone decides the slot.
///
/// A slot's tag is the first word of the sequence `0`...`z`, `00`...`zz`, ... (digits and lower-case letters, the last
/// character counting fastest) that lies in the slot. Nearly all tags have three characters. Names in a target depend on the
/// tags, so they never change.
package enum SlotTag {
    private static let letters = "0123456789abcdefghijklmnopqrstuvwxyz".bytes

    /// The maximum length of a tag.
    static let maxBytes = 4

    private static let table: [[UInt8]] = {
        var table = [[UInt8]](repeating: [], count: KeySlot.count)
        var missing = table.count
        for length in 1...maxBytes where missing > 0 {
            var digits = [Int](repeating: 0, count: length)
            words: while missing > 0 {
                let word = digits.map { letters[$0] }
                let slot = Int(KeySlot(of: word).number)
                if table[slot].isEmpty {
                    table[slot] = word
                    missing -= 1
                }
                var place = length - 1
                while digits[place] == letters.count - 1 {
                    digits[place] = 0
                    place -= 1
                    if place < 0 { break words }
                }
                digits[place] += 1
            }
        }
        precondition(missing == 0, "each slot has a tag of four characters")
        return table
    }()

    package static func tag(of slot: KeySlot) -> [UInt8] { table[Int(slot.number)] }

    /// Returns `{tag}name`: a key called `name` in `slot`.
    package static func key(_ name: [UInt8], in slot: KeySlot) -> [UInt8] {
        [UInt8(ascii: "{")] + tag(of: slot) + [UInt8(ascii: "}")] + name
    }

    /// Removes the tag from a key of df2redis' own; returns any other key unchanged.
    static func untagged(_ key: [UInt8]) -> ArraySlice<UInt8> {
        guard key.first == UInt8(ascii: "{"), let end = key.prefix(maxBytes + 2).firstIndex(of: UInt8(ascii: "}")),
            key[(end + 1)...].starts(with: TargetControl.ownPrefix)
        else { return key[...] }
        return key[(end + 1)...]
    }

    package static func key(_ name: String, in slot: KeySlot) -> [UInt8] { key(name.bytes, in: slot) }
}
