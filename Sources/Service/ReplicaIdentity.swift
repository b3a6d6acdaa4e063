/// The names under which the master knows this replica.
struct ReplicaIdentity {
    let task: String
    let host: String

    /// 40 hexadecimal digits that are stable for a task on a host.
    var clientID: String {
        var hashes: [UInt64] = [0xcbf2_9ce4_8422_2325, 0x8422_2325_cbf2_9ce4, 0x9ce4_8422_2325_cbf2]
        for (index, byte) in "\(task)@\(host)".utf8.enumerated() {
            for place in hashes.indices {
                hashes[place] = (hashes[place] ^ UInt64(byte) &+ UInt64(index * place)) &* 0x100_0000_01b3
            }
        }
        let digits = hashes.map { String($0, radix: 16) }.map { String(repeating: "0", count: 16 - $0.count) + $0 }
            .joined()
        return String(digits.prefix(40))
    }

    /// The task and where it runs, as in `df2redis/prod@db7`.
    var displayName: String { "df2redis/\(task)@\(host)" }
}
