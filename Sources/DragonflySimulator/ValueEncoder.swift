/// Encodes values as a v1.36.0 master does (Protocol 3.6 and 3.7): the value type and the body after the key.
struct ValueEncoder {
    let compression: Compression
    /// Offsets in the body at which it may be split: after each element of a collection in its large form.
    private(set) var boundaries: [Int] = []
    private(set) var writer = PieceWriter()

    private static let largestListpackBytes = 1024
    private static let largestListpackZset = 128
    private static let largestListpackMember = 64
    private static let largestIntset = 512
    private static let listNodeBytes = 8192
    private static let streamNodeEntries = 100
    private static let streamNodeBytes = 4096
    /// `kMemberExpiryBase`: seconds of member and field expiries count from here.
    static let memberExpiryBase: Int64 = 1_675_209_600

    init(compression: Compression) { self.compression = compression }

    /// Writes the body of `value` and returns its type.
    mutating func encode(_ value: Value) -> UInt8 {
        switch value {
        case .string(let bytes):
            string(bytes)
            return 0
        case .list(let elements):
            list(elements)
            return 18
        case .set(let members): return set(members)
        case .hash(let fields): return hash(fields)
        case .zset(let members): return zset(members)
        case .stream(let stream):
            self.stream(stream)
            return 21
        case .expiringHash(let fields):
            writer.length(fields.count)
            for (field, entry) in fields.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
                string(field)
                string(entry.value)
                expiry(entry.expiresAtSeconds)
                boundary()
            }
            return 31
        case .expiringSet(let members):
            writer.length(members.count)
            for (member, seconds) in members.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
                string(member)
                expiry(seconds)
                boundary()
            }
            return 32
        case .bloomFilter:
            bloomFilter()
            return 33
        }
    }

    /// Writes one empty filter of 64 bytes with growth factor 2 and an error rate of 0.005 (Protocol 3.7.5).
    private mutating func bloomFilter() {
        writer.length(0)
        writer.littleEndian(2.0.bitPattern)
        writer.littleEndian(0.005.bitPattern)
        for number in [0, 1, 46, 1, 8] { writer.length(number) }
        writer.rawString([UInt8](repeating: 0, count: 64))
    }

    private mutating func boundary() { boundaries.append(writer.count) }

    private mutating func string(_ bytes: [UInt8]) {
        if compression == .lzf { writer.lzfString(bytes) } else { writer.string(bytes) }
    }

    /// Writes a listpack or an intset: never as an integer, with LZF in `compression_mode` 1.
    private mutating func data(_ bytes: [UInt8]) {
        if compression == .lzf { writer.lzfString(bytes) } else { writer.rawString(bytes) }
    }

    private mutating func expiry(_ seconds: Int64?) {
        writer.string(String(seconds.map { $0 - Self.memberExpiryBase } ?? -1))
    }

    private mutating func list(_ elements: [[UInt8]]) {
        var nodes: [(container: Int, data: [UInt8])] = []
        var pack = ListpackWriter()
        func close() {
            if pack.count > 0 { nodes.append((2, pack.finished())) }
            pack = ListpackWriter()
        }
        for element in elements {
            if element.count > Self.listNodeBytes {
                close()
                nodes.append((1, element))
                continue
            }
            if pack.byteCount + element.count > Self.listNodeBytes { close() }
            pack.append(element)
        }
        close()
        writer.length(nodes.count)
        for node in nodes {
            writer.length(node.container)
            data(node.data)
            boundary()
        }
    }

    private mutating func set(_ members: Set<[UInt8]>) -> UInt8 {
        if members.count <= Self.largestIntset {
            let numbers = members.compactMap { PieceWriter.canonicalInteger($0) }
            if numbers.count == members.count {
                data(Self.intset(numbers.sorted()))
                return 11
            }
        }
        writer.length(members.count)
        for member in members.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
            string(member)
            boundary()
        }
        return 2
    }

    private static func intset(_ numbers: [Int64]) -> [UInt8] {
        let width =
            numbers.allSatisfy { Int16(exactly: $0) != nil }
            ? 2 : numbers.allSatisfy { Int32(exactly: $0) != nil } ? 4 : 8
        var writer = PieceWriter()
        writer.littleEndian(UInt32(width))
        writer.littleEndian(UInt32(numbers.count))
        for number in numbers {
            switch width {
            case 2: writer.littleEndian(Int16(truncatingIfNeeded: number))
            case 4: writer.littleEndian(Int32(truncatingIfNeeded: number))
            default: writer.littleEndian(number)
            }
        }
        return writer.bytes
    }

    private mutating func hash(_ fields: [[UInt8]: [UInt8]]) -> UInt8 {
        let sorted = fields.sorted { $0.key.lexicographicallyPrecedes($1.key) }
        let bytes = sorted.reduce(0) { $0 + $1.key.count + $1.value.count }
        if bytes + 4 * sorted.count <= Self.largestListpackBytes {
            var pack = ListpackWriter()
            for (field, value) in sorted {
                pack.append(field)
                pack.append(value)
            }
            data(pack.finished())
            return 16
        }
        writer.length(sorted.count)
        for (field, value) in sorted {
            string(field)
            string(value)
            boundary()
        }
        return 4
    }

    private mutating func zset(_ members: [[UInt8]: Double]) -> UInt8 {
        let sorted = members.sortedByScore
        let isSmall =
            sorted.count <= Self.largestListpackZset
            && sorted.allSatisfy { $0.member.count <= Self.largestListpackMember }
        if isSmall {
            var pack = ListpackWriter()
            for (member, score) in sorted {
                pack.append(member)
                pack.append(ScoreText.bytes(score))
            }
            data(pack.finished())
            return 17
        }
        writer.length(sorted.count)
        for (member, score) in sorted {
            string(member)
            writer.littleEndian(score.bitPattern)
            boundary()
        }
        return 5
    }

    private mutating func stream(_ stream: StreamValue) {
        let nodes = StreamNodes.split(stream.entries, entries: Self.streamNodeEntries, bytes: Self.streamNodeBytes)
        writer.length(nodes.count)
        for node in nodes {
            StreamNodes.write(node, into: &writer)
            boundary()
        }
        writer.length(stream.entries.count)
        StreamNodes.write(stream.lastID, into: &writer)
        StreamNodes.write(stream.entries.first?.id ?? StreamValue.ID(0, 0), into: &writer)
        StreamNodes.write(stream.maximumDeletedID, into: &writer)
        writer.packed(stream.entriesAdded)
        writer.length(stream.groups.count)
        for (name, last) in stream.groups.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
            string(name)
            StreamNodes.write(last, into: &writer)
            writer.packed(UInt64(stream.entries.count { $0.id <= last }))
            writer.length(0)
            writer.length(0)
        }
        boundary()
    }
}

/// The nodes of a stream (Protocol 3.7.4): a 16-byte id and a listpack of deltas.
enum StreamNodes {
    static func split(_ entries: [StreamValue.Entry], entries limit: Int, bytes: Int) -> [[StreamValue.Entry]] {
        var nodes: [[StreamValue.Entry]] = []
        var size = 0
        for entry in entries {
            let entrySize = entry.fields.reduce(16) { $0 + $1.count + 3 }
            if nodes.isEmpty || nodes[nodes.count - 1].count >= limit || size + entrySize > bytes {
                nodes.append([])
                size = 0
            }
            nodes[nodes.count - 1].append(entry)
            size += entrySize
        }
        return nodes
    }

    static func write(_ entries: [StreamValue.Entry], into writer: inout PieceWriter) {
        guard let first = entries.first else { return }
        writer.length(16)
        writer.bigEndian(first.id.milliseconds)
        writer.bigEndian(first.id.sequence)
        let names = stride(from: 0, to: first.fields.count, by: 2).map { first.fields[$0] }
        var pack = ListpackWriter()
        pack.append(Int64(entries.count))
        pack.append(Int64(0))
        pack.append(Int64(names.count))
        for name in names { pack.append(name) }
        pack.append(Int64(0))
        for entry in entries {
            let own = stride(from: 0, to: entry.fields.count, by: 2).map { entry.fields[$0] }
            let isSame = own == names
            pack.append(Int64(isSame ? 2 : 0))
            pack.append(Int64(bitPattern: entry.id.milliseconds &- first.id.milliseconds))
            pack.append(Int64(bitPattern: entry.id.sequence &- first.id.sequence))
            if isSame {
                for index in stride(from: 1, to: entry.fields.count, by: 2) { pack.append(entry.fields[index]) }
                pack.append(Int64(names.count + 3))
            } else {
                pack.append(Int64(own.count))
                for field in entry.fields { pack.append(field) }
                pack.append(Int64(entry.fields.count + 4))
            }
        }
        writer.rawString(pack.finished())
    }

    static func write(_ id: StreamValue.ID, into writer: inout PieceWriter) {
        writer.packed(id.milliseconds)
        writer.packed(id.sequence)
    }
}

extension [[UInt8]: Double] {
    /// The members in the order of ZRANGE.
    var sortedByScore: [(member: [UInt8], score: Double)] {
        map { (member: $0.key, score: $0.value) }.sorted {
            $0.score != $1.score ? $0.score < $1.score : $0.member.lexicographicallyPrecedes($1.member)
        }
    }
}

/// Formats numbers as Dragonfly does: the shortest digits that give the same double again, with an exponent only from
/// 1e21 on and below 1e-6.
enum ScoreText {
    static func text(_ score: Double) -> String {
        if score.isInfinite { return score < 0 ? "-inf" : "inf" }
        if score == 0 { return score.sign == .minus ? "-0" : "0" }
        let parts = score.magnitude.description.split(separator: "e")
        let mantissa = parts[0].split(separator: ".")
        var digits = String(mantissa[0]) + (mantissa.count > 1 ? String(mantissa[1]) : "")
        // The power of ten of the first digit.
        var exponent = mantissa[0].count - 1 + (parts.count > 1 ? Int(parts[1]) ?? 0 : 0)
        while digits.first == "0" {
            digits.removeFirst()
            exponent -= 1
        }
        while digits.last == "0" { digits.removeLast() }
        return (score < 0 ? "-" : "") + place(digits, exponent)
    }

    private static func place(_ digits: String, _ exponent: Int) -> String {
        if exponent >= 21 || exponent < -6 {
            let fraction = digits.count > 1 ? "." + digits.dropFirst() : ""
            return digits.prefix(1) + fraction + "e" + (exponent < 0 ? "" : "+") + String(exponent)
        }
        if exponent < 0 { return "0." + String(repeating: "0", count: -exponent - 1) + digits }
        if digits.count <= exponent + 1 { return digits + String(repeating: "0", count: exponent + 1 - digits.count) }
        return digits.prefix(exponent + 1) + "." + digits.dropFirst(exponent + 1)
    }

    static func bytes(_ score: Double) -> [UInt8] { Array(text(score).utf8) }
}
