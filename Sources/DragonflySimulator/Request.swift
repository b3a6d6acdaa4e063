/// A received command: its name in upper case and its arguments as bytes.
struct Request {
    let name: String
    /// The arguments, without the name.
    let arguments: [[UInt8]]

    /// The argument as text, in upper case: for sub-commands and options.
    func keyword(_ index: Int) -> String? {
        index < arguments.count ? String(decoding: arguments[index], as: UTF8.self).uppercased() : nil
    }

    func text(_ index: Int) -> String? {
        index < arguments.count ? String(decoding: arguments[index], as: UTF8.self) : nil
    }

    func integer(_ index: Int) -> Int64? { text(index).flatMap(Int64.init) }

    /// One line for a transcript; long arguments are shortened.
    var line: String {
        ([name]
            + arguments.map { argument in
                argument.count <= 64
                    ? String(decoding: argument, as: UTF8.self)
                    : String(decoding: argument.prefix(61), as: UTF8.self) + "..."
            }).joined(separator: " ")
    }
}

/// Parses a client's bytes into requests: RESP arrays of bulk strings, or inline lines as a Dragonfly replica sends them.
struct RequestParser {
    private var bytes: [UInt8] = []
    private var offset = 0
    /// The client sent something that is not a request; nothing more is parsed.
    private(set) var isBroken = false

    private static let maximumArguments: Int64 = 1 << 20
    private static let maximumBulk: Int64 = 512 << 20

    var hasInput: Bool { offset < bytes.count }

    mutating func append(_ input: UnsafeRawBufferPointer) {
        if offset == bytes.count {
            bytes.removeAll(keepingCapacity: true)
            offset = 0
        } else if offset > 1 << 20 {
            bytes.removeFirst(offset)
            offset = 0
        }
        bytes.append(contentsOf: input)
    }

    /// The next complete request, or `nil` when bytes are missing.
    mutating func next() -> Request? {
        while !isBroken, offset < bytes.count {
            let start = offset
            guard let words = bytes[offset] == UInt8(ascii: "*") ? array() : inline() else {
                offset = start
                return nil
            }
            guard let first = words.first else { continue }
            let name = String(decoding: first, as: UTF8.self).uppercased()
            return Request(name: name, arguments: Array(words.dropFirst()))
        }
        return nil
    }

    private mutating func array() -> [[UInt8]]? {
        guard let count = header() else { return nil }
        guard (0...Self.maximumArguments).contains(count) else {
            isBroken = true
            return nil
        }
        var words: [[UInt8]] = []
        words.reserveCapacity(Int(count))
        for _ in 0..<count {
            guard offset < bytes.count else { return nil }
            guard bytes[offset] == UInt8(ascii: "$") else {
                isBroken = true
                return nil
            }
            guard let length = header() else { return nil }
            guard (0...Self.maximumBulk).contains(length) else {
                isBroken = true
                return nil
            }
            let end = offset + Int(length)
            guard end + 2 <= bytes.count else { return nil }
            words.append(Array(bytes[offset..<end]))
            offset = end + 2
        }
        return words
    }

    /// Parses the number after a type byte and consumes the line end.
    private mutating func header() -> Int64? {
        guard let end = lineEnd() else { return nil }
        var value: Int64 = 0
        var index = offset + 1
        let isNegative = index < end && bytes[index] == UInt8(ascii: "-")
        if isNegative { index += 1 }
        guard index < end, end - index <= 18 else {
            isBroken = true
            return nil
        }
        while index < end {
            let digit = bytes[index] &- UInt8(ascii: "0")
            guard digit <= 9 else {
                isBroken = true
                return nil
            }
            value = value * 10 + Int64(digit)
            index += 1
        }
        offset = end + 2
        return isNegative ? -value : value
    }

    /// The offset of the `\r` that ends the line at the cursor.
    private func lineEnd() -> Int? {
        var index = offset
        while index + 1 < bytes.count {
            if bytes[index] == 0x0D, bytes[index + 1] == 0x0A { return index }
            index += 1
        }
        return nil
    }

    private mutating func inline() -> [[UInt8]]? {
        guard let newline = bytes[offset...].firstIndex(of: 0x0A) else { return nil }
        let words = bytes[offset..<newline].split { $0 == 0x20 || $0 == 0x0D || $0 == 0x09 }.map(Array.init)
        offset = newline + 1
        return words
    }
}
