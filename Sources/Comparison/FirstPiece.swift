import Servers
import Wire

/// The first piece of a value, which is all of most values: asked for with one command on either side, the same on both.
struct FirstPiece {
    /// Elements, or more where the server keeps them in one small block.
    static let elements = 256
    static let bytes = 4096
    /// Types whose values are compared.
    static let types: Set<String> = ["string", "hash", "set", "zset", "list", "stream", "ReJSON-RL"]

    private static let getRange = Array("GETRANGE".utf8)
    private static let zero = Array("0".utf8)
    private static let lastByte = Array("\(bytes - 1)".utf8)
    private static let lastElement = Array("\(elements - 1)".utf8)
    private static let count = Array("COUNT".utf8)
    private static let countElements = Array("\(elements)".utf8)
    private static let scans = [
        "hash": Array("HSCAN".utf8), "set": Array("SSCAN".utf8), "zset": Array("ZSCAN".utf8),
    ]
    private static let lRange = Array("LRANGE".utf8)
    private static let xInfo = ["XINFO", "STREAM"].map { Array($0.utf8) }
    private static let jsonGet = Array("JSON.GET".utf8)
    private static let lengths = [
        "string": "STRLEN", "hash": "HLEN", "set": "SCARD", "zset": "ZCARD", "list": "LLEN", "stream": "XLEN",
    ].mapValues { Array($0.utf8) }

    /// The command that reads it; `nil` for a type that cannot be read.
    static func question(_ type: String, _ key: [UInt8]) -> Command? {
        switch type {
        case "string": [getRange, key, zero, lastByte]
        case "hash", "set", "zset": scans[type].map { [$0, key, zero, count, countElements] }
        case "list": [lRange, key, zero, lastElement]
        // A stream has more than its entries: what XINFO says of it decides whether they are read.
        case "stream": xInfo + [key]
        case "ReJSON-RL": [jsonGet, key]
        default: nil
        }
    }

    /// The command that answers how long a value is.
    static func lengthQuestion(_ type: String, _ key: [UInt8]) -> Command? { lengths[type].map { [$0, key] } }

    /// Compares the answers of both sides to `question`; neither is an error.
    static func verdict(_ type: String, source: RESPValue, target: RESPValue) -> ValueVerdict {
        switch type {
        case "string":
            guard StringPiece.areEqual(source, target) else {
                let counts = [source, target].map { $0.bytes?.count ?? 0 }
                if counts.contains(bytes) || counts[0] == counts[1] { return .differs(.value) }
                return .differs(.length, source: "\(counts[0])", target: "\(counts[1])")
            }
            return source.bytes?.count == bytes ? .isLarge : .equal
        case "list":
            let (left, right) = (source.array ?? [], target.array ?? [])
            if left.count == elements, right.count == elements { return .isLarge }
            guard left.count == right.count else { return length(left.count, right.count) }
            return left == right ? .equal : .differs(.value)
        case "hash", "zset", "set":
            guard let left = wholeScan(source), let right = wholeScan(target) else { return .isLarge }
            return compare(type, left, right)
        case "stream": return .isLarge
        case "ReJSON-RL": return JSONDocument.areEqual(source.bytes, target.bytes) ? .equal : .differs(.value)
        default: return source == target ? .equal : .differs(.value)
        }
    }

    private static func length(_ source: Int, _ target: Int) -> ValueVerdict {
        // The piece may not be all of it.
        if max(source, target) >= elements { return .isLarge }
        return .differs(.length, source: "\(source)", target: "\(target)")
    }

    /// The elements of a scan that was over after one call.
    private static func wholeScan(_ reply: RESPValue) -> [RESPValue]? {
        guard let parts = reply.array, parts.count == 2, parts[0].text == "0" else { return nil }
        return parts[1].array
    }

    private static func compare(_ type: String, _ source: [RESPValue], _ target: [RESPValue]) -> ValueVerdict {
        // Two servers with the same history often have the same order.
        if source == target { return .equal }
        let width = type == "set" ? 1 : 2
        let (left, right) = (Elements(source, width), Elements(target, width))
        guard left.count == right.count else {
            return .differs(.length, source: "\(left.count)", target: "\(right.count)")
        }
        let isEqual =
            type == "zset"
            ? left.allSatisfy { Score.isEqual($0.value, right[$0.key]) } : left.allSatisfy { right[$0.key] == $0.value }
        return isEqual ? .equal : .differs(.value)
    }

    /// By name; a scan may give an element twice.
    private typealias Elements = [[UInt8]: RESPValue]
}

extension [[UInt8]: RESPValue] {
    fileprivate init(_ replies: [RESPValue], _ width: Int) {
        self.init(minimumCapacity: replies.count / width)
        for place in stride(from: 0, through: replies.count - width, by: width) {
            self[replies[place].bytes ?? []] = width == 2 ? replies[place + 1] : .bulk(nil)
        }
    }
}

/// Scores of sorted sets: the same number may have two spellings.
enum Score {
    static func isEqual(_ a: RESPValue?, _ b: RESPValue?) -> Bool {
        guard let a, let b else { return false }
        if a == b { return true }
        guard let a = a.text.flatMap(Double.init), let b = b.text.flatMap(Double.init) else { return false }
        return a == b
    }
}
