package import Link
package import Wire

/// Which master of a cluster serves which slot, as seen by one of its nodes.
package struct ClusterTopology: Equatable, Sendable {
    package struct Node: Hashable, Sendable, CustomStringConvertible {
        /// 40 hex digits, which stay the same as long as the node is a member.
        package var id: String
        package var endpoint: Endpoint

        package init(id: String, endpoint: Endpoint) { (self.id, self.endpoint) = (id, endpoint) }

        package var description: String { endpoint.description }
    }

    /// A master with its replicas and slots.
    package struct Shard: Equatable, Sendable {
        package var master: Node
        package var replicas: [Node]
        package var slots: [ClosedRange<UInt16>]

        package init(master: Node, replicas: [Node] = [], slots: [ClosedRange<UInt16>]) {
            (self.master, self.replicas, self.slots) = (master, replicas, slots)
        }
    }

    private static let nobody = UInt16.max

    /// The shards that have slots, sorted by their lowest slot.
    package let shards: [Shard]
    /// The index in `shards` of each slot's master, or `nobody`.
    private let owners: [UInt16]

    package init(_ shards: [Shard]) {
        let serving = shards.filter { !$0.slots.isEmpty }
            .sorted { ($0.slots.map(\.lowerBound).min() ?? 0) < ($1.slots.map(\.lowerBound).min() ?? 0) }
        var owners = [UInt16](repeating: Self.nobody, count: KeySlot.count)
        for (place, shard) in serving.enumerated() {
            for range in shard.slots { for slot in range { owners[Int(slot)] = UInt16(place) } }
        }
        (self.shards, self.owners) = (serving, owners)
    }

    package var masters: [Node] { shards.map(\.master) }

    /// - Returns: `nil` if no node serves the slot.
    package func master(of slot: KeySlot) -> Node? {
        let place = owners[Int(slot.number)]
        return place == Self.nobody ? nil : shards[Int(place)].master
    }

    /// The index in `shards` of the shard that serves `slot`; `nil` if there is none.
    package func shard(of slot: KeySlot) -> Int? {
        let place = owners[Int(slot.number)]
        return place == Self.nobody ? nil : Int(place)
    }

    /// The number of slots that no node serves.
    package var uncovered: Int { owners.count { $0 == Self.nobody } }

    /// The lowest slot that `node` serves.
    package func firstSlot(of node: Node) -> KeySlot? {
        shards.first { $0.master.id == node.id }.flatMap { $0.slots.map(\.lowerBound).min() }.map { KeySlot($0) }
    }

    /// Every known member, masters first.
    package var nodes: [Node] { masters + shards.flatMap(\.replicas) }
}

// MARK: - As a node reports it

extension ClusterTopology {
    /// How to read the addresses that nodes announce.
    package struct Reading: Sendable {
        /// The address at which the answering node was reached. It also applies to nodes that announce no host.
        package var origin: Endpoint
        package var usesTLS: Bool
        /// Maps an announced address to the address at which the node can be reached, for example through NAT.
        package var addressMap: [Endpoint: Endpoint]

        package init(origin: Endpoint, usesTLS: Bool = false, addressMap: [Endpoint: Endpoint] = [:]) {
            (self.origin, self.usesTLS, self.addressMap) = (origin, usesTLS, addressMap)
        }

        /// - Returns: `nil` if the port is not usable.
        func endpoint(host: String?, port: Int64?) -> Endpoint? {
            guard let port = port.flatMap({ UInt16(exactly: $0) }), port > 0 else { return nil }
            let isUnknown = host == nil || host == "" || host == "?"
            let announced = Endpoint(host: isUnknown ? origin.host : host ?? origin.host, port: port)
            return addressMap[announced] ?? announced
        }
    }

    /// Reads the answer to `CLUSTER SHARDS`. Its maps arrive as flat arrays of names and values in RESP2.
    ///
    /// - Returns: `nil` if the reply has another form.
    package init?(shards reply: RESPValue, _ reading: Reading) {
        guard let entries = reply.array else { return nil }
        var shards: [Shard] = []
        for entry in entries {
            guard let bounds = entry["slots"]?.array, let members = entry["nodes"]?.array,
                let slots = Self.ranges(bounds.map { $0.int })
            else { return nil }
            var masters: [(node: Node, isOnline: Bool)] = []
            var replicas: [Node] = []
            for member in members {
                guard let id = member["id"]?.text, let role = member["role"]?.text else { return nil }
                let named = [member["endpoint"]?.text, member["hostname"]?.text, member["ip"]?.text]
                let host = named.first { $0 != nil && $0 != "" && $0 != "?" } ?? nil
                let port = member[reading.usesTLS ? "tls-port" : "port"]?.int
                guard let endpoint = reading.endpoint(host: host, port: port) else { continue }
                let node = Node(id: id, endpoint: endpoint)
                if role == "master" {
                    masters.append((node, member["health"]?.text == "online"))
                } else {
                    replicas.append(node)
                }
            }
            guard let master = masters.first(where: \.isOnline) ?? masters.first else { continue }
            shards.append(Shard(master: master.node, replicas: replicas, slots: slots))
        }
        self.init(shards)
    }

    /// Reads the answer to `CLUSTER SLOTS`: `[first, last, [host, port, id, ...] of the master, and of each replica]`. The
    /// port is the TLS port if the asking connection uses TLS, and the plain port otherwise.
    ///
    /// - Returns: `nil` if the reply has another form.
    package init?(slots reply: RESPValue, _ reading: Reading) {
        guard let entries = reply.array else { return nil }
        var shards: [String: Shard] = [:]
        for entry in entries {
            guard let fields = entry.array, fields.count >= 3, let range = Self.ranges([fields[0].int, fields[1].int])
            else { return nil }
            let nodes = fields[2...].compactMap { field -> Node? in
                guard let words = field.array, words.count >= 2,
                    let endpoint = reading.endpoint(host: words[0].text, port: words[1].int)
                else { return nil }
                return Node(id: words.count > 2 ? words[2].text ?? "\(endpoint)" : "\(endpoint)", endpoint: endpoint)
            }
            guard let master = nodes.first else { return nil }
            shards[master.id, default: Shard(master: master, replicas: Array(nodes.dropFirst()), slots: [])].slots +=
                range
        }
        self.init(Array(shards.values))
    }

    /// Reads pairs of first and last slots.
    private static func ranges(_ bounds: [Int64?]) -> [ClosedRange<UInt16>]? {
        guard bounds.count % 2 == 0 else { return nil }
        var ranges: [ClosedRange<UInt16>] = []
        for place in stride(from: 0, to: bounds.count, by: 2) {
            guard let first = bounds[place], let last = bounds[place + 1], first >= 0, first <= last,
                last < KeySlot.count
            else { return nil }
            ranges.append(UInt16(first)...UInt16(last))
        }
        return ranges
    }
}
