/// A command that a master's journal records incompletely or rounded (Protocol 5.6): both sides become equal only if
/// df2redis also reads the keys at the source.
///
/// The families are those of `CommandGenerator`.
struct IncompletelyJournaledCommand: Sendable {
    /// The family of keys that it reads, and the family of the key that it writes to.
    let source: String
    let destination: String
    /// Returns the command for three keys of the source family, one key of the destination family, and a digit.
    let command: @Sendable (_ keys: [String], _ destination: String, _ digit: Int) -> [String]

    private init(
        _ source: String, to destination: String, _ command: @escaping @Sendable ([String], String, Int) -> [String]
    ) {
        (self.source, self.destination, self.command) = (source, destination, command)
    }

    static let families: [IncompletelyJournaledCommand] = [
        .init("xi", to: "xi") { keys, _, digit in
            ["XREADGROUP", "GROUP", "g\(digit % 3)", "c\(digit % 4)", "COUNT", "3", "STREAMS", keys[0], ">"]
        },
        .init("x", to: "x") { keys, _, digit in
            ["XREADGROUP", "GROUP", "g\(digit % 3)", "c\(digit % 4)", "COUNT", "5", "STREAMS", keys[0], ">"]
        },
        .init("xi", to: "xi") { keys, _, digit in
            ["XAUTOCLAIM", keys[0], "g\(digit % 3)", "c\(digit % 4)", "0", "0", "COUNT", "3"]
        },
        .init("l", to: "sd") { keys, destination, _ in ["SORT", keys[0], "ALPHA", "STORE", destination] },
        .init("t", to: "sd") { keys, destination, _ in ["SORT", keys[0], "ALPHA", "DESC", "STORE", destination] },
        .init("zi", to: "l") { keys, destination, _ in ["SORT", keys[0], "ALPHA", "STORE", destination] },
        .init("l", to: "l") { keys, _, digit in
            ["LMPOP", "2", keys[0], keys[1], digit % 2 == 0 ? "LEFT" : "RIGHT", "COUNT", "\(digit + 1)"]
        },
        .init("l", to: "l") { keys, _, digit in
            ["BLMPOP", "0.01", "2", keys[0], keys[1], digit % 2 == 0 ? "LEFT" : "RIGHT", "COUNT", "\(digit + 1)"]
        },
        .init("geo", to: "gd") { keys, destination, digit in
            [
                "GEORADIUS", keys[0], "15", "37", "\(digit + 1)000", "km", digit % 2 == 0 ? "STORE" : "STOREDIST",
                destination,
            ]
        },
        .init("geo", to: "gd") { keys, destination, digit in
            ["GEORADIUSBYMEMBER", keys[0], "m\(digit)", "9000", "km", "STORE", destination]
        },
        .init("z", to: "z") { keys, destination, digit in
            [
                ["ZUNIONSTORE", "ZINTERSTORE"][digit % 2], destination, "2", keys[0], keys[1], "WEIGHTS", "1.234567",
                "3",
            ]
        },
        .init("z", to: "zd") { keys, destination, _ in ["ZDIFFSTORE", destination, "2", keys[0], keys[1]] },
        .init("z", to: "z") { keys, destination, digit in ["ZRANGESTORE", destination, keys[0], "0", "\(digit * 3)"] },
        .init("t", to: "t") { keys, destination, digit in
            [["SUNIONSTORE", "SINTERSTORE", "SDIFFSTORE"][digit % 3], destination, keys[0], keys[1]]
        },
        .init("bits", to: "bits") { keys, destination, digit in
            ["BITOP", ["AND", "OR", "XOR"][digit % 3], destination, keys[0], keys[1]]
        },
        .init("hll", to: "hll") { keys, destination, _ in ["PFMERGE", destination, keys[0], keys[1]] },
    ]
}
