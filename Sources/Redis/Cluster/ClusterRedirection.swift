package import Link

/// An error reply by which a cluster's node says that a command is to be sent elsewhere, or again. Nothing was executed.
package enum ClusterRedirection: Equatable, Sendable {
    /// Another node serves the slot from now on.
    case moved(KeySlot, Endpoint?)
    /// The key, if there is one, is at the node where its slot is going: one request, after `ASKING`.
    case ask(KeySlot, Endpoint?)
    /// Keys of one command are at both nodes between which their slot is moving.
    case tryAgain
    /// The cluster, the node or its master does not serve for the time being.
    case down(String)

    /// - Parameters:
    ///   - text: of the error reply.
    ///   - reading: how an address in it is read.
    /// - Returns: `nil` for any other error.
    package init?(_ text: String, _ reading: ClusterTopology.Reading) {
        // EXEC names a state that has come up since its commands were queued as the reason of its refusal.
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
