/// Keys of our own in the slot of a key of the source: `{<tag>}df2redis:...`, where the hash tag alone decides the slot.
///
/// A slot's tag is the first of the words `0`...`z`, `00`...`zz`, ... (digits and lower-case letters, the last character
/// counting fastest) that lies in it: three characters for nearly all. Names in a target depend on it, so it never changes.
package enum SlotTag {
    private static let letters = Array("0123456789abcdefghijklmnopqrstuvwxyz".utf8)

    /// No tag is longer.
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

    /// `{tag}name`: a key called `name` in `slot`.
    package static func key(_ name: [UInt8], in slot: KeySlot) -> [UInt8] {
        [UInt8(ascii: "{")] + tag(of: slot) + [UInt8(ascii: "}")] + name
    }

    /// The name after the tag of a key of df2redis' own; any other key as it is.
    static func untagged(_ key: [UInt8]) -> ArraySlice<UInt8> {
        guard key.first == UInt8(ascii: "{"), let end = key.prefix(maxBytes + 2).firstIndex(of: UInt8(ascii: "}")),
            key[(end + 1)...].starts(with: TargetControl.ownPrefix)
        else { return key[...] }
        return key[(end + 1)...]
    }

    package static func key(_ name: String, in slot: KeySlot) -> [UInt8] { key(Array(name.utf8), in: slot) }
}
