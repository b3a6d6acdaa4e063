/// How a connection misbehaves. Offsets count the bytes of the stream: on a flow those after the reply to `DFLY FLOW`,
/// elsewhere those of the connection.
package struct Faults: Sendable {
    /// How what is written is cut into `send` calls.
    package enum Split: Sendable {
        case every(Int)
        case random(seed: UInt64, upTo: Int)
    }

    /// What happens when so many bytes have been sent.
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
    /// Bytes put into the stream at an offset.
    package var insertions: [Int: [UInt8]] = [:]
    /// Bytes put before FULLSYNC_END, in the place of an opcode: `[0xF3]` is an unknown one, `[99, 1, 0x6B]` an unknown type.
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

/// Where faults apply.
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

/// A command that is answered with an error instead of being executed, a number of times: LOADING, NOPERM, ...
package struct Refusal: Sendable {
    /// The command's name, in upper case; with its sub-command to be narrower: `DFLY STARTSTABLE`.
    package let command: String
    /// The line after the `-`; `nil`: the command is never answered.
    package let reply: String?
    package var times: Int

    package init(_ command: String, reply: String?, times: Int = .max) {
        self.command = command
        self.reply = reply
        self.times = times
    }

    /// PING and DFLY are refused while a data set is loaded; REPLCONF is not.
    package static func loading(times: Int) -> [Refusal] {
        let text = "LOADING Dragonfly is loading the dataset in memory"
        return [Refusal("PING", reply: text, times: times), Refusal("DFLY", reply: text, times: times)]
    }
}
