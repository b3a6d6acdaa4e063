/// How a connection misbehaves.
///
/// Offsets count the bytes of the stream: on a flow, the bytes after the reply to `DFLY FLOW`; elsewhere, all bytes of
/// the connection.
package struct Faults: Sendable {
    /// How output is split into `send` calls.
    package enum Split: Sendable {
        case every(Int)
        case random(seed: UInt64, upTo: Int)
    }

    /// What happens after `afterBytes` bytes have been sent.
    package struct Cut: Sendable {
        package enum Kind: Sendable {
            /// FIN, as when the master ends a session.
            case fin
            /// RST (`SO_LINGER` 0).
            case rst
            /// Nothing more is sent or read until `SimulatedMaster.resume`.
            case stall
        }

        package let kind: Kind
        package let afterBytes: Int

        package init(_ kind: Kind, afterBytes: Int) {
            self.kind = kind
            self.afterBytes = afterBytes
        }
    }

    package var split: Split?
    /// Happens once; a later connection in the same place is not cut again.
    package var cut: Cut?
    /// Bytes to insert into the stream, by offset.
    package var insertions: [Int: [UInt8]] = [:]
    /// Bytes to insert before FULLSYNC_END, where an opcode is expected: `[0xF3]` is an unknown opcode, `[99, 1, 0x6B]`
    /// an entry of an unknown type.
    package var insertionBeforeEnd: [UInt8] = []
    package var hasWrongToken = false
    /// The AUX field `shard-id` names another shard.
    package var hasWrongShardID = false
    /// `DFLY FLOW` is answered with this error line.
    package var refusal: String?
    /// `DFLY FLOW` with an LSN is answered FULL.
    package var refusesPartial = false
    /// The master does not answer a FIN with its own.
    package var neverSendsFIN = false

    package init() {}

    package static func splitting(_ split: Split) -> Faults {
        var faults = Faults()
        faults.split = split
        return faults
    }

    package static func cutting(_ kind: Cut.Kind, afterBytes: Int) -> Faults {
        var faults = Faults()
        faults.cut = Cut(kind, afterBytes: afterBytes)
        return faults
    }
}

/// The connections to which faults apply.
package enum ConnectionPlace: Sendable, Hashable, CustomStringConvertible {
    /// Each connection that is not a flow, from its first byte.
    case main
    case flow(Int)

    package var description: String {
        switch self {
        case .main: "main"
        case .flow(let shard): "flow \(shard)"
        }
    }
}

/// A command that the master answers a number of times with an error (LOADING, NOPERM, ...) instead of executing it.
package struct Refusal: Sendable {
    /// The command's name in upper case, optionally with a subcommand: `DFLY STARTSTABLE`.
    package let command: String
    /// The error line after the `-`; `nil` if the command gets no reply at all.
    package let reply: String?
    package var times: Int

    package init(_ command: String, reply: String?, times: Int = .max) {
        self.command = command
        self.reply = reply
        self.times = times
    }

    /// Refuses PING and DFLY, but not REPLCONF, as a master does while it loads a data set.
    package static func loading(times: Int) -> [Refusal] {
        let text = "LOADING Dragonfly is loading the dataset in memory"
        return [Refusal("PING", reply: text, times: times), Refusal("DFLY", reply: text, times: times)]
    }
}
