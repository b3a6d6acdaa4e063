import Wire

/// A cluster as one of its nodes sees it: the reply to CLUSTER NODES.
package struct ClusterView: Equatable, Sendable {
    package struct Member: Equatable, Sendable {
        package var id: String
        package var port: UInt16
        package var isMaster: Bool
        /// The id of its master, if it is a replica.
        package var masterID: String?
        /// The answering node considers it failed, or suspects it to be.
        package var isFailing: Bool
        /// The answering node is connected to it.
        package var isLinked: Bool
        package var slots: [ClosedRange<Int>]
    }

    package var nodes: [Member]

    package init(_ client: RESPClient) throws {
        self.init(text: try client.command("CLUSTER", "NODES").text ?? "")
    }

    /// ```
    /// <id> <host>:<port>@<bus port>[,<hostname>] <flags> <master's id or -> <ping> <pong> <epoch> <link> <slots> ...
    /// ```
    init(text: String) {
        nodes = text.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ").map(String.init)
            guard words.count >= 8, let port = Self.port(in: words[1]) else { return nil }
            let flags = words[2].split(separator: ",")
            let isReady = !flags.contains("handshake") && !flags.contains("noaddr")
            // A slot in brackets is being moved.
            let slots = words[8...].filter { !$0.hasPrefix("[") }.compactMap { text -> ClosedRange<Int>? in
                let bounds = text.split(separator: "-").compactMap { Int($0) }
                guard let first = bounds.first, let last = bounds.last else { return nil }
                return first...last
            }
            return Member(
                id: words[0], port: port, isMaster: flags.contains("master"),
                masterID: words[3] == "-" ? nil : words[3],
                isFailing: flags.contains("fail") || flags.contains("fail?"),
                isLinked: isReady && (words[7] == "connected" || flags.contains("myself")), slots: slots)
        }
    }

    private static func port(in address: String) -> UInt16? {
        let endpoint = address.prefix { $0 != "@" }
        return endpoint.lastIndex(of: ":").flatMap { UInt16(endpoint[endpoint.index(after: $0)...]) }
    }

    /// The nodes that serve slots, in the order of their slots.
    package var masters: [Member] {
        nodes.filter { $0.isMaster && !$0.slots.isEmpty }
            .sorted { ($0.slots.first?.lowerBound ?? 0) < ($1.slots.first?.lowerBound ?? 0) }
    }

    /// The id of the node that serves a slot.
    package func owner(of slot: Int) -> String? {
        nodes.first { $0.isMaster && $0.slots.contains { $0.contains(slot) } }?.id
    }
}

/// The slots of a cluster, computed independently of the code that the laboratory tests.
package enum ClusterSlot {
    /// CRC-16 (XMODEM) of the key's hash tag, or of the whole key, modulo 16384.
    package static func of(_ key: [UInt8]) -> Int {
        var counted = key[...]
        if let open = key.firstIndex(of: UInt8(ascii: "{")),
            let close = key[open...].firstIndex(of: UInt8(ascii: "}")), close > open + 1
        {
            counted = key[(open + 1)..<close]
        }
        let crc = counted.reduce(UInt16(0)) { crc, byte in
            (0..<8).reduce(crc ^ UInt16(byte) << 8) { crc, _ in crc & 0x8000 != 0 ? crc << 1 ^ 0x1021 : crc << 1 }
        }
        return Int(crc) % RedisCluster.slotCount
    }
}
