/// The role of a connection.
package enum ConnectionRole: Sendable, Equatable {
    case client
    case main(session: Int)
    case flow(session: Int, shard: Int)
}

/// How the client ended its direction.
package enum ClientEnd: Sendable, Equatable {
    case fin
    /// RST: the client closed with unread data or with `SO_LINGER` 0, or its host refuses us.
    case rst
}

/// A `REPLCONF ACK` that the master received.
package struct Acknowledgement: Sendable {
    package let lsn: UInt64
    package let time: ContinuousClock.Instant
}

/// What the master saw of one connection, for assertions.
package struct ConnectionObservation: Sendable {
    /// Connections are numbered in the order in which they were accepted.
    package let id: Int
    /// The client's port.
    package let peerPort: UInt16
    package internal(set) var role = ConnectionRole.client
    /// The received commands in order, without ACKs: up to 1,000 of the latest ones of a session's connection, the
    /// first 100 of a client.
    package internal(set) var commands: [String] = []
    package internal(set) var acknowledgements: [Acknowledgement] = []
    /// Bytes that the kernel has taken from the master.
    package internal(set) var bytesSent = 0
    /// The bytes of `bytesSent` that belong to the flow's stream, after the reply to `DFLY FLOW`.
    package internal(set) var streamBytesSent = 0
    package internal(set) var bytesReceived = 0
    /// How the client first ended its direction; `nil` while it is open.
    package internal(set) var clientEnd: ClientEnd?
    /// An RST came after the client's FIN: it closed with unread data.
    package internal(set) var wasResetAfterFIN = false
    /// 1 for the first connection whose end the master saw, 2 for the next ...
    package internal(set) var endOrder: Int?
    package internal(set) var sentFIN = false
    package internal(set) var isClosed = false
    /// Bytes that the client's kernel had not acknowledged when the connection was over.
    package internal(set) var undeliveredBytes = 0
    /// The longest time for which a write to the client was blocked.
    package internal(set) var longestBlockedWrite = Duration.zero

    init(id: Int, peerPort: UInt16) { (self.id, self.peerPort) = (id, peerPort) }

    static let maximumCommands = 1000
    private static let maximumClientCommands = 100

    var takesCommands: Bool { role != .client || commands.count < Self.maximumClientCommands }

    mutating func note(command: String) {
        if commands.count == Self.maximumCommands { commands.removeFirst(Self.maximumCommands / 2) }
        commands.append(command)
    }

    mutating func note(end: ClientEnd, order: inout Int) {
        if clientEnd == nil {
            clientEnd = end
            order += 1
            endOrder = order
        } else if end == .rst, clientEnd == .fin {
            wasResetAfterFIN = true
        }
    }
}
