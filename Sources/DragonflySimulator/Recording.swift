import Foundation

/// The recorded bytes of a real master: a folder with `flow-N.full`, `flow-N.stable` and `handshake.json`.
package struct Recording: Sendable {
    /// One recorded flow.
    package struct Flow: Sendable {
        /// The bytes from the header to the point at which the master waits for STARTSTABLE.
        package let beforeStable: [UInt8]
        /// The bytes from that point to the end of the EOF token.
        package let tail: [UInt8]
        /// The stable stream until the replica left.
        package let stable: [UInt8]
        /// The last 40 bytes of the full sync.
        package let token: String
        /// The LSN of the first record of `stable`; `nil` if JOURNAL_OFFSET is in a compressed blob and `stable` has no
        /// LSN record.
        package let offset: UInt64?
        /// The records of `stable`, each with the SELECT before it, for partial sync.
        let records: [[UInt8]]

        /// The whole flow as it was recorded.
        package var bytes: [UInt8] { beforeStable + tail + stable }
    }

    package let flows: [Flow]
    package let replicationID: String?
    package let version: DragonflyVersion?

    package struct Unreadable: Error, CustomStringConvertible {
        package let description: String
    }

    /// Loads a folder; the number of flows is the number of `flow-N.full` files.
    package init(folder: String) throws {
        let folder = URL(fileURLWithPath: folder, isDirectory: true)
        var flows: [Flow] = []
        while let full = try? Data(contentsOf: folder.appendingPathComponent("flow-\(flows.count).full")) {
            let stable = try? Data(contentsOf: folder.appendingPathComponent("flow-\(flows.count).stable"))
            flows.append(try Flow(full: Array(full), stable: Array(stable ?? Data())))
        }
        guard !flows.isEmpty else { throw Unreadable(description: "no flow-0.full in \(folder.path)") }
        let handshake = (try? Data(contentsOf: folder.appendingPathComponent("handshake.json"))) ?? Data()
        self.init(flows: flows, replicationID: Self.replicationID(in: handshake))
    }

    package init(flows: [Flow], replicationID: String? = nil) {
        self.flows = flows
        self.replicationID = replicationID
        version = flows.first.flatMap { Self.version(in: $0.beforeStable) }
    }

    /// The first 40 hexadecimal characters after a `+`: the reply to `capa dragonfly`.
    private static func replicationID(in handshake: Data) -> String? {
        for part in String(decoding: handshake, as: UTF8.self).split(separator: "+").dropFirst() {
            let candidate = part.prefix(40)
            if candidate.count == 40, candidate.allSatisfy(\.isHexDigit) { return String(candidate) }
        }
        return nil
    }

    /// The value of the AUX field `df-ver`.
    private static func version(in header: [UInt8]) -> DragonflyVersion? {
        let name = Array("df-ver".utf8)
        let limit = min(header.count, 4096) - name.count - 1
        guard limit > 0, let start = (0..<limit).first(where: { header[$0..<($0 + name.count)].elementsEqual(name) })
        else { return nil }
        let value = start + name.count + 1
        return DragonflyVersion(String(decoding: header[value...].prefix(Int(header[value - 1])), as: UTF8.self))
    }
}

extension Recording.Flow {
    private static let tokenBytes = 40
    /// The size of EOF and its checksum.
    private static let endBytes = 9

    /// Splits a recorded full sync where the master waited for STARTSTABLE.
    ///
    /// It splits after FULLSYNC_END if only JOURNAL_OFFSET and EOF follow in plain bytes. If journal blobs follow, or a
    /// compressed blob holds these opcodes, everything before EOF is sent early: the client sends STARTSTABLE later anyway.
    package init(full: [UInt8], stable: [UInt8]) throws {
        let end = full.count - Self.tokenBytes - Self.endBytes
        guard end > 18, full[end] == 0xFF, full[(end + 1)..<(end + 9)].allSatisfy({ $0 == 0 }) else {
            throw Recording.Unreadable(description: "a full sync that does not end with EOF and a token")
        }
        let offsetStart = end - 9
        let isPlain = full[offsetStart] == 0xD3 && full[(end - 2)..<end].allSatisfy { $0 == 0 }
        let endStart = offsetStart - 9
        let followsEnd = isPlain && full[endStart] == 0xC8 && full[(endStart + 1)..<offsetStart].allSatisfy { $0 == 0 }
        let split = followsEnd ? offsetStart : end
        beforeStable = Array(full[..<split])
        tail = Array(full[split...])
        self.stable = stable
        token = String(decoding: full[(end + Self.endBytes)...], as: UTF8.self)
        let scan = try Self.scan(stable)
        records = scan.records
        offset =
            isPlain
            ? full[(offsetStart + 1)..<end].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) } : scan.firstLSN
    }

    /// Returns the records of a stable part, each with the SELECT before it and without LSN records, and the LSN of the
    /// first one, derived from the first LSN record.
    private static func scan(_ stable: [UInt8]) throws -> (records: [[UInt8]], firstLSN: UInt64?) {
        var records: [[UInt8]] = []
        var firstLSN: UInt64?
        var cursor = 0
        var start = 0
        func number() throws -> Int {
            func byte() throws -> Int {
                guard cursor < stable.count else { throw Recording.Unreadable(description: "a cut journal record") }
                defer { cursor += 1 }
                return Int(stable[cursor])
            }
            let head = try byte()
            switch head {
            case ..<0x40: return head
            case ..<0x80: return (head & 0x3F) << 8 | (try byte())
            case 0x80: return try (0..<4).reduce(0) { value, _ in value << 8 | (try byte()) }
            case 0x81: return try (0..<8).reduce(0) { value, _ in value << 8 | (try byte()) }
            default: throw Recording.Unreadable(description: "a journal record with a packed integer of no kind")
            }
        }
        while cursor < stable.count {
            switch try number() {
            case 6: _ = try number()
            case 9, 10:
                _ = (try number(), try number())
                let count = try number()
                _ = try number()
                for _ in 0..<count { cursor += try number() }
                records.append(Array(stable[start..<min(cursor, stable.count)]))
                start = cursor
            case 13:
                records.append(Array(stable[start..<cursor]))
                start = cursor
            case 15:
                let lsn = UInt64(try number())
                if firstLSN == nil { firstLSN = lsn + 1 - UInt64(records.count) }
                start = cursor
            case let code: throw Recording.Unreadable(description: "journal opcode \(code)")
            }
        }
        return (records, firstLSN)
    }
}
