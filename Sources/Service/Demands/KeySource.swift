import FoundationEssentials
import Glibc
import Link
import Replication

/// Where the keys for `df2redis refresh` come from: the command line, a file, or standard input.
///
/// A line of a file is recognised by itself: a line of `*.dead-letters.jsonl`, one that `df2redis check` has written, or else
/// the key as it is. Of a file one block is in memory.
package struct KeySource: Sendable {
    private let keys: [RefreshKey]
    private let path: String?
    private let database: UInt32

    /// - Parameters:
    ///   - path: of a file; `-`: standard input; `nil`: none.
    ///   - database: of keys that come without one.
    package init(keys: [String], path: String?, database: UInt32) {
        self.keys = keys.map { RefreshKey(database: database, key: Array($0.utf8)) }
        self.path = path
        self.database = database
    }

    enum Entry: Equatable {
        case key(RefreshKey)
        case unreadable
    }

    /// The keys one after the other.
    struct Keys {
        private var keys: ArraySlice<RefreshKey>
        private var lines: LineReader?
        private let database: UInt32

        fileprivate init(keys: [RefreshKey], lines: LineReader?, database: UInt32) {
            (self.keys, self.lines, self.database) = (keys[...], lines, database)
        }

        /// - Throws: `DemandFailure`
        mutating func next() throws(DemandFailure) -> Entry? {
            if let key = keys.popFirst() { return .key(key) }
            while let line = try lines?.next() {
                if let entry = KeyLine.entry(line, database: database) { return entry }
            }
            return nil
        }
    }

    /// - Throws: `DemandFailure`
    func open() throws(DemandFailure) -> Keys {
        Keys(keys: keys, lines: try path.map { path throws(DemandFailure) in try LineReader(path) }, database: database)
    }
}

/// What a line says of a key.
enum KeyLine {
    private struct Fields: Decodable {
        var database: UInt32?
        var key: String?
        /// From `df2redis check`.
        var keyHex: String?
        /// In `*.dead-letters.jsonl`.
        var time: Int64?
        var kind: String?
    }

    /// Of the dead letters, what is no key of the source.
    private static let keyless: Set = ["script", "throttle"]

    /// - Returns: `nil` for a line that is empty, or says of no key.
    static func entry(_ line: [UInt8], database: UInt32) -> KeySource.Entry? {
        if line.isEmpty { return nil }
        guard line.first == UInt8(ascii: "{"),
            let fields = try? JSONDecoder().decode(Fields.self, from: Data(line)), let number = fields.database
        else { return .key(RefreshKey(database: database, key: line)) }
        if let text = fields.keyHex {
            return bytes(ofHexadecimal: text).map { .key(RefreshKey(database: number, key: $0)) } ?? .unreadable
        }
        guard let text = fields.key else { return .unreadable }
        guard fields.time != nil else { return .key(RefreshKey(database: number, key: Array(text.utf8))) }
        if let kind = fields.kind, keyless.contains(kind) { return nil }
        return bytes(ofQuoted: text).map { .key(RefreshKey(database: number, key: $0)) } ?? .unreadable
    }

    /// The opposite of `printableKey`.
    ///
    /// - Returns: `nil` for a key that was cut off, and what is none.
    private static func bytes(ofQuoted text: String) -> [UInt8]? {
        let quote = UInt8(ascii: "\"")
        var rest = Array(text.utf8)[...]
        guard rest.count > 2, rest.popFirst() == quote, rest.popLast() == quote else { return nil }
        var bytes: [UInt8] = []
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "\\") else {
                // One that ends before the end was cut off.
                if byte == quote { return nil }
                bytes.append(byte)
                continue
            }
            guard let escaped = rest.popFirst() else { return nil }
            guard escaped == UInt8(ascii: "x") else {
                bytes.append(escaped)
                continue
            }
            let digits = String(decoding: rest.prefix(2), as: UTF8.self)
            guard let value = UInt8(digits, radix: 16), digits.utf8.count == 2 else { return nil }
            rest = rest.dropFirst(2)
            bytes.append(value)
        }
        return bytes
    }

    private static func bytes(ofHexadecimal text: String) -> [UInt8]? {
        let digits = Array(text.utf8)
        guard digits.count % 2 == 0 else { return nil }
        var bytes: [UInt8] = []
        for place in stride(from: 0, to: digits.count, by: 2) {
            guard let byte = UInt8(String(decoding: digits[place..<place + 2], as: UTF8.self), radix: 16) else {
                return nil
            }
            bytes.append(byte)
        }
        return bytes
    }
}

/// A file's lines, without their ends; not more of it in memory than a block and a line.
private final class LineReader {
    private static let blockBytes = 256 << 10
    /// A longer one is no key.
    private static let longestLine = 16 << 20

    private let path: String
    private let descriptor: Int32
    private var buffer: [UInt8] = []
    private var start = 0
    private var isAtEnd = false

    init(_ path: String) throws(DemandFailure) {
        self.path = path == "-" ? "standard input" : path
        descriptor = path == "-" ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw DemandFailure("\(SystemError("open", errno: errno, peer: self.path))", .fileFailed)
        }
    }

    deinit { close(descriptor) }

    func next() throws(DemandFailure) -> [UInt8]? {
        var searched = start
        while true {
            if let end = buffer[searched...].firstIndex(of: UInt8(ascii: "\n")) {
                defer { start = end + 1 }
                return line(to: end)
            }
            searched = buffer.count
            if isAtEnd {
                guard start < buffer.count else { return nil }
                defer { start = buffer.count }
                return line(to: buffer.count)
            }
            guard buffer.count - start <= Self.longestLine else {
                throw DemandFailure("\(path) has a line of more than \(Self.longestLine >> 20) MiB", .fileFailed)
            }
            searched -= start
            buffer.removeSubrange(..<start)
            start = 0
            try fill()
        }
    }

    private func line(to end: Int) -> [UInt8] {
        let line = buffer[start..<end]
        return Array(line.last == UInt8(ascii: "\r") ? line.dropLast() : line)
    }

    private func fill() throws(DemandFailure) {
        var block = [UInt8](repeating: 0, count: Self.blockBytes)
        let count = retryingInterrupts { read(descriptor, &block, block.count) }
        guard count >= 0 else { throw DemandFailure("\(SystemError("read", errno: errno, peer: path))", .fileFailed) }
        isAtEnd = count == 0
        buffer += block[..<count]
    }
}
