package import Link

/// An error reply of a cluster node that asks for a command to be sent elsewhere or again. Nothing was executed.
package enum ClusterRedirection: Equatable, Sendable {
    /// Another node serves the slot from now on.
    case moved(KeySlot, Endpoint?)
    /// If the key exists, it is at the node to which its slot is moving. One request goes there, after `ASKING`.
    case ask(KeySlot, Endpoint?)
    /// The keys of one command are split between the two nodes between which their slot is moving.
    case tryAgain
    /// The cluster, the node or its master is temporarily not serving.
    case down(String)

    /// - Parameters:
    ///   - text: the text of the error reply.
    ///   - reading: how to read an address in the text.
    /// - Returns: `nil` for any other error.
    package init?(_ text: String, _ reading: ClusterTopology.Reading) {
        // EXEC gives the reason for its refusal if a state has come up since its commands were queued.
        let discarded = "EXECABORT Transaction discarded because of: "
        let text = text.hasPrefix(discarded) ? String(text.dropFirst(discarded.count)) : text
        let words = text.split(separator: " ")
        switch words.first {
        case "MOVED", "ASK":
            guard words.count >= 3, let slot = UInt16(words[1]), slot < KeySlot.count else { return nil }
            let colon = words[2].lastIndex(of: ":")
            let host = colon.map { String(words[2][..<$0]) }
            let port = colon.flatMap { Int64(words[2][words[2].index(after: $0)...]) }
            let endpoint = reading.endpoint(host: host, port: port)
            self = words[0] == "MOVED" ? .moved(KeySlot(slot), endpoint) : .ask(KeySlot(slot), endpoint)
        case "TRYAGAIN": self = .tryAgain
        case "CLUSTERDOWN", "LOADING", "READONLY", "MASTERDOWN": self = .down(text)
        default: return nil
        }
    }
}
