/// The id of a stream's entry.
package struct StreamID: Comparable, Hashable, Sendable {
    package var milliseconds: UInt64
    package var sequence: UInt64

    package static let byteCount = 16

    package init(milliseconds: UInt64, sequence: UInt64) {
        self.milliseconds = milliseconds
        self.sequence = sequence
    }

    /// Reads 16 bytes: both numbers, most significant byte first. `nil`, without moving, when bytes are missing.
    package init?(readBigEndian reader: inout ByteReader) {
        guard reader.remaining >= Self.byteCount, let milliseconds = reader.readBigEndian(UInt64.self),
            let sequence = reader.readBigEndian(UInt64.self)
        else { return nil }
        self.init(milliseconds: milliseconds, sequence: sequence)
    }

    package static func < (a: StreamID, b: StreamID) -> Bool {
        (a.milliseconds, a.sequence) < (b.milliseconds, b.sequence)
    }

    /// Appends `<milliseconds>-<sequence>`.
    package func append(to buffer: inout ByteBuffer) {
        buffer.append(unsignedDecimal: milliseconds)
        buffer.append(UInt8(ascii: "-"))
        buffer.append(unsignedDecimal: sequence)
    }

    /// Appends the id's text as an argument of a command.
    package func appendBulk(to buffer: inout ByteBuffer) {
        buffer.appendBulkHead(milliseconds.decimalDigits + 1 + sequence.decimalDigits)
        append(to: &buffer)
        buffer.appendLineEnd()
    }

    /// Appends 16 bytes: both numbers, most significant byte first.
    package func append(bigEndianTo buffer: inout ByteBuffer) {
        buffer.append(littleEndian: milliseconds.bigEndian)
        buffer.append(littleEndian: sequence.bigEndian)
    }
}

extension StreamID: CustomStringConvertible {
    package var description: String { "\(milliseconds)-\(sequence)" }
}

extension ByteBuffer {
    /// Appends the decimal text of `value`.
    package mutating func append(unsignedDecimal value: UInt64) {
        if let small = Int64(exactly: value) { return append(decimal: small) }
        // A tenth of a number above 2^63 fits, and is not zero.
        append(decimal: Int64(value / 10))
        append(UInt8(ascii: "0") + UInt8(value % 10))
    }

    /// The decimal text of `value` as an argument.
    package mutating func appendBulk(unsignedDecimal value: UInt64) {
        appendBulkHead(value.decimalDigits)
        append(unsignedDecimal: value)
        appendLineEnd()
    }
}

extension UInt64 {
    /// Characters of the decimal text.
    fileprivate var decimalDigits: Int {
        var digits = 1
        var rest = self
        while rest >= 10 {
            rest /= 10
            digits += 1
        }
        return digits
    }
}
