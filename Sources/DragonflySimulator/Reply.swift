/// A RESP2 reply.
package enum Reply: Sendable, Equatable {
    case simple(String)
    /// The whole line after the `-`, code word included.
    case error(String)
    case integer(Int64)
    case bulk([UInt8])
    case null
    case array([Reply])
    /// The command has no reply (`REPLCONF ACK`), or gets it later.
    case nothing

    package static let ok = Reply.simple("OK")

    package static func text(_ text: String) -> Reply { .bulk(Array(text.utf8)) }

    func encode(into bytes: inout [UInt8]) {
        switch self {
        case .simple(let text): line("+", text, into: &bytes)
        case .error(let text): line("-", text, into: &bytes)
        case .integer(let value): line(":", String(value), into: &bytes)
        case .bulk(let value):
            line("$", String(value.count), into: &bytes)
            bytes += value
            bytes += [0x0D, 0x0A]
        case .null: line("$", "-1", into: &bytes)
        case .array(let elements):
            line("*", String(elements.count), into: &bytes)
            for element in elements { element.encode(into: &bytes) }
        case .nothing: break
        }
    }

    private func line(_ type: StaticString, _ text: String, into bytes: inout [UInt8]) {
        bytes.append(type.utf8Start.pointee)
        bytes += text.utf8
        bytes += [0x0D, 0x0A]
    }
}

/// The error texts of a Dragonfly v1.36.0 master (Protocol 1.8 and 2.2), verbatim.
enum ErrorText {
    static let noAuth = Reply.error("NOAUTH Authentication required.")
    static let wrongPassword = Reply.error("WRONGPASS invalid username-password pair or user is disabled.")
    static let loading = Reply.error("LOADING Dragonfly is loading the dataset in memory")
    static let syntax = Reply.error("ERR syntax error")
    static let integer = Reply.error("ERR value is not an integer or out of range")
    static let replicaOfReplica = Reply.error("ERR Replicating a replica is unsupported")
    static let badMasterID = Reply.error("ERR bad master id")
    static let badSyncID = Reply.error("ERR bad sync id")
    static let syncIDNotFound = Reply.error("ERR syncid not found")
    static let invalidState = Reply.error("ERR invalid state")
    static let wrongType = Reply.error("WRONGTYPE Operation against a key holding the wrong kind of value")

    static func arity(_ name: String) -> Reply {
        .error("ERR wrong number of arguments for '\(name.lowercased())' command")
    }

    static func unknown(_ name: String) -> Reply { .error("ERR unknown command `\(name)`") }
}
