import Foundation
import Testing
import Wire

/// What real masters sent, to the last byte.
@Suite struct `Recordings of real masters` {
    @Test func `There are recordings of both versions`() {
        let names = Recording.all.map(\.name)
        #expect(names.count >= 19)
        #expect(names.contains("/types") && names.contains("/v1.40.1/big"))
    }

    @Test(arguments: Recording.all) func `Each flow is decoded to its last byte however it arrives`(
        recording: Recording
    ) throws {
        let flows = recording.flows()
        #expect(!flows.isEmpty)
        for (index, flow) in flows.enumerated() {
            let seed = UInt64.random(in: 0 ... .max)
            var feedings: [Feeding] = [.random(seed: seed, upTo: 4096), .random(seed: seed, upTo: 200_000)]
            #if DEBUG
                // a byte at a time over megabytes is for optimized builds
                feedings.append(flow.bytes.count < 100_000 ? .pieces(of: 1) : .pieces(of: 211))
            #else
                feedings.append(.pieces(of: 1))
            #endif
            let outcome = expectSameHoweverFed(
                flow.bytes, token: flow.token, feedings, label: "\(recording) flow \(index)")
            #expect(outcome.error == nil, "flow \(index)")
            #expect(outcome.unconsumed == 0, "flow \(index)")
            #expect(outcome.openValues == 0, "flow \(index)")
            #expect(outcome.phase == .journal, "flow \(index)")
            #expect(outcome.items.contains(.auxiliary("shard-id", "\(index)")), "flow \(index)")
        }
    }

    /// The records count the LSNs that the master gives.
    @Test(arguments: Recording.all) func `LSN records agree with the count of records`(recording: Recording) throws {
        for (bytes, token) in recording.flows() {
            var next: UInt64?
            for item in feedFlow(bytes, token: token).items {
                switch item {
                case .offset(let lsn): next = lsn
                case .command(_, _, _, inSnapshot: false), .ping(inSnapshot: false): next? += 1
                case .lsn(let lsn): #expect(lsn + 1 == next)
                default: break
                }
            }
            #expect(next != nil)
        }
    }

    static let snapshots = Recording.all.filter { recording in
        ["types", "types-lzf", "types-raw", "types-zstd", "big"].contains { recording.name.hasSuffix("/" + $0) }
    }

    @Test(arguments: snapshots) func `Keys, expiries and values are those that the master held`(
        recording: Recording
    ) throws {
        var expected = try recording.expected()
        for (bytes, token) in recording.flows() {
            for case .value(let head, let key, let pieces) in feedFlow(bytes, .pieces(of: 5000), token: token).items {
                let name = "db \(head.database) \(printableKey(key.span.bytes))"
                guard let held = expected[head.database]?.removeValue(forKey: key) else {
                    Issue.record("\(name) is not a key of the master, or came twice")
                    continue
                }
                #expect(head.type.name == held.type, "\(name)")
                #expect(head.expiryMilliseconds == held.expiryMilliseconds, "\(name)")
                guard let json = try jsonValue(of: head.type, pieces) else { continue }
                if let digest = held.digest {
                    #expect(sha256(json) == digest, "\(name)")
                } else {
                    #expect(json == pythonJSON(held.value), "\(name)")
                }
            }
        }
        for (database, keys) in expected {
            for key in keys.keys { Issue.record("db \(database) \(printableKey(key.span.bytes)) is missing") }
        }
    }
}

/// A decoded value as `record.py` writes it: the JSON text of Python's `json.dumps(value, sort_keys=True)`.
private func jsonValue(of type: RDBType, _ pieces: [FlowRecorder.Piece]) throws -> [UInt8]? {
    func bytes(_ piece: FlowRecorder.Piece) -> [UInt8] {
        guard case .bytes(let bytes) = piece else { return [] }
        return bytes
    }
    func latin1(_ bytes: [UInt8]) -> String { String(String.UnicodeScalarView(bytes.map { Unicode.Scalar($0) })) }
    switch type.name {
    case "string":
        return pythonJSON(latin1(bytes(pieces[0])))
    case "list":
        return pythonJSON(pieces.map { latin1(bytes($0)) })
    case "set":
        let members = pieces.map(bytes).sorted { $0.lexicographicallyPrecedes($1) }
        #expect(Set(members).count == members.count)
        return pythonJSON(members.map(latin1))
    case "hash":
        var fields: [String: String] = [:]
        for index in stride(from: 0, to: pieces.count, by: 2) {
            fields[latin1(bytes(pieces[index]))] = latin1(bytes(pieces[index + 1]))
        }
        #expect(fields.count * 2 == pieces.count)
        return pythonJSON(fields)
    case "zset":
        var members: [(score: Double, member: [UInt8])] = []
        for index in stride(from: 0, to: pieces.count, by: 2) {
            guard case .score(let bits) = pieces[index + 1] else { return [] }
            members.append((Double(bitPattern: bits), bytes(pieces[index])))
        }
        members.sort { $0.score == $1.score ? $0.member.lexicographicallyPrecedes($1.member) : $0.score < $1.score }
        return pythonJSON(members.map { [latin1($0.member), pythonRepr($0.score)] })
    case "stream":
        return pythonJSON(try streamJSON(pieces))
    default:
        return nil
    }

    func streamJSON(_ pieces: [FlowRecorder.Piece]) throws -> [String: Any] {
        var entries: [Any] = []
        var groups: [[String: Any]] = []
        var lastID = ""
        var consumer = ""
        var deliveries: [StreamID: UInt64] = [:]
        var pending: [(StreamID, String)] = []
        func endGroup() {
            guard !groups.isEmpty else { return }
            groups[groups.count - 1]["pending"] = pending.sorted { $0.0 < $1.0 }
                .map { ["\($0.0)", $0.1, Int(deliveries[$0.0] ?? 0)] as [Any] }
        }
        for piece in pieces {
            switch piece {
            case .node(let id, let listpack): entries += try nodeEntries(id, listpack)
            case .info(let info): lastID = "\(info.lastID)"
            case .group(let name, let info):
                endGroup()
                groups.append(["name": latin1(name), "last_id": "\(info.lastID)", "consumers": [String]()])
                (pending, deliveries) = ([], [:])
            case .pending(let entry): deliveries[entry.id] = entry.deliveryCount
            case .consumer(let name, _):
                consumer = latin1(name)
                var names = groups[groups.count - 1]["consumers"] as! [String]
                names.append(consumer)
                groups[groups.count - 1]["consumers"] = names.sorted()
            case .consumerPending(let id): pending.append((id, consumer))
            default: break
            }
        }
        endGroup()
        return ["entries": entries, "last_id": lastID, "groups": groups]
    }

    func nodeEntries(_ id: StreamID, _ listpack: [UInt8]) throws -> [Any] {
        var reader = try StreamNodeReader(masterID: id, listpack: listpack.span.bytes)
        var entries: [Any] = []
        while let entry = try reader.next() {
            var words: [String] = []
            var fields = entry.fields
            while let field = try fields.next() {
                for element in [written { field.name.append(to: &$0) }, written { field.value.append(to: &$0) }] {
                    words.append(latin1(element))
                }
            }
            if !entry.isDeleted { entries.append(["\(entry.id)", words] as [Any]) }
        }
        return entries
    }
}

/// `repr` of a Python float.
private func pythonRepr(_ value: Double) -> String {
    if value.isInfinite { return value < 0 ? "-inf" : "inf" }
    // the shortest digits are the same; only the notation differs: Python's has no exponent from 1e-4 to 1e16
    var text = "\(value)"
    if let exponent = text.firstIndex(of: "e"), abs(value) >= 1e-4, abs(value) < 1e16 {
        let digits = text[..<exponent].filter(\.isNumber)
        let sign = value < 0 ? "-" : ""
        let power = Int(text[text.index(after: exponent)...])!
        let plain =
            power < 0
            ? "0." + String(repeating: "0", count: -power - 1) + digits.drop { _ in false }
            : digits.padding(toLength: power + 1, withPad: "0", startingAt: 0) + ".0"
        return sign + plain
    }
    if let exponent = text.firstIndex(of: "e") {
        var mantissa = String(text[..<exponent])
        if mantissa.hasSuffix(".0") { mantissa.removeLast(2) }
        let power = Int(text[text.index(after: exponent)...])!
        text = "\(mantissa)e\(power < 0 ? "-" : "+")\(abs(power) < 10 ? "0" : "")\(abs(power))"
    }
    return text
}

/// `json.dumps(value, ensure_ascii=True, sort_keys=True)` of Python.
private func pythonJSON(_ value: Any?) -> [UInt8] {
    var text: [UInt8] = []
    func append(_ string: String) {
        text.append(UInt8(ascii: "\""))
        for unit in string.utf16 {
            switch unit {
            case 0x22: text += Array("\\\"".utf8)
            case 0x5C: text += Array("\\\\".utf8)
            case 0x0A: text += Array("\\n".utf8)
            case 0x0D: text += Array("\\r".utf8)
            case 0x09: text += Array("\\t".utf8)
            case 0x08: text += Array("\\b".utf8)
            case 0x0C: text += Array("\\f".utf8)
            case 0x20..<0x7F: text.append(UInt8(unit))
            default: text += unit < 0x100 ? latin1Escapes[Int(unit)] : escape(unit)
            }
        }
        text.append(UInt8(ascii: "\""))
    }
    func append(_ value: Any?) {
        switch value {
        case let string as String: append(string)
        case let array as [Any]:
            text.append(UInt8(ascii: "["))
            for (index, element) in array.enumerated() {
                if index > 0 { text += Array(", ".utf8) }
                append(element)
            }
            text.append(UInt8(ascii: "]"))
        case let object as [String: Any]:
            text.append(UInt8(ascii: "{"))
            let keys = object.keys.sorted { $0.unicodeScalars.lexicographicallyPrecedes($1.unicodeScalars) }
            for (index, key) in keys.enumerated() {
                if index > 0 { text += Array(", ".utf8) }
                append(key)
                text += Array(": ".utf8)
                append(object[key])
            }
            text.append(UInt8(ascii: "}"))
        case let number as Int: text += Array("\(number)".utf8)
        case let number as NSNumber: text += Array(number.stringValue.utf8)
        default: text += Array("null".utf8)
        }
    }
    append(value)
    return text
}

/// `\\u00e9`.
private func escape(_ unit: UInt16) -> [UInt8] {
    let digits = String(unit, radix: 16)
    return Array(("\\u" + String(repeating: "0", count: 4 - digits.count) + digits).utf8)
}

/// Those of the bytes of values, made once.
private let latin1Escapes = (0..<0x100).map { escape(UInt16($0)) }
