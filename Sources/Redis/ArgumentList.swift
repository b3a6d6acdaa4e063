public import Wire

/// A type that can be an argument of a command.
@usableFromInline package protocol CommandArgument: ~Copyable, ~Escapable {
    borrowing func appendBulk(to buffer: inout ByteBuffer)
}

extension RawSpan: CommandArgument {
    @inlinable package func appendBulk(to buffer: inout ByteBuffer) { buffer.appendBulk(self) }
}

extension StaticString: CommandArgument {
    @inlinable package func appendBulk(to buffer: inout ByteBuffer) { buffer.appendBulk(self) }
}

extension Int64: CommandArgument {
    @inlinable package func appendBulk(to buffer: inout ByteBuffer) { buffer.appendBulk(decimal: self) }
}

extension [UInt8]: CommandArgument {
    @inlinable package func appendBulk(to buffer: inout ByteBuffer) { buffer.appendBulk(self) }
}

extension ByteBuffer: CommandArgument {
    @inlinable package borrowing func appendBulk(to buffer: inout ByteBuffer) { buffer.appendBulk(contentsOf: self) }
}

extension StreamID: CommandArgument {}

extension ListpackElement: CommandArgument {}

/// The arguments of a command that is being appended to a batch (`CommandBatch.append`). It counts them as they are
/// appended.
@usableFromInline package struct ArgumentList: ~Copyable {
    @usableFromInline let batch: CommandBatch
    /// The number of arguments, including the command's name.
    @usableFromInline var count = 1

    @inlinable init(batch: CommandBatch) { self.batch = batch }

    /// Appends a text. A literal is a `StaticString`.
    @inlinable package mutating func append(_ text: StaticString) {
        batch.bytes.appendBulk(text)
        count += 1
    }

    /// Appends an argument. A number becomes its decimal text.
    @inlinable package mutating func append(_ argument: borrowing some CommandArgument & ~Copyable & ~Escapable) {
        argument.appendBulk(to: &batch.bytes)
        count += 1
    }

    /// Appends all of `arguments`.
    package mutating func append(contentsOf arguments: borrowing ArgumentBuffer) {
        batch.bytes.append(contentsOf: arguments.bytes)
        count += arguments.count
    }

    /// Appends the arguments `first...last` of `command`, or every `step`-th of them.
    package mutating func append(
        contentsOf command: borrowing JournalCommand, from first: Int, to last: Int = .max, step: Int = 1
    ) {
        var place = 0
        var arguments = command.arguments
        while place <= last, let argument = arguments.next() {
            if place >= first, (place - first) % step == 0 { append(argument) }
            place += 1
        }
    }

    /// Appends one argument that consists of two texts, for example a script and its beginning.
    mutating func append(_ first: StaticString, followedBy second: StaticString) {
        append(byteCount: first.utf8CodeUnitCount + second.utf8CodeUnitCount) { buffer in
            buffer.append(first)
            buffer.append(second)
        }
    }

    /// Appends one argument that consists of four texts.
    mutating func append(
        _ first: StaticString, followedBy second: StaticString, _ third: StaticString, _ fourth: StaticString
    ) {
        let ends = third.utf8CodeUnitCount + fourth.utf8CodeUnitCount
        append(byteCount: first.utf8CodeUnitCount + second.utf8CodeUnitCount + ends) { buffer in
            buffer.append(first)
            buffer.append(second)
            buffer.append(third)
            buffer.append(fourth)
        }
    }

    /// Appends one argument of `byteCount` bytes, which `write` appends.
    mutating func append<E: Error>(byteCount: Int, _ write: (inout ByteBuffer) throws(E) -> Void) throws(E) {
        batch.bytes.appendBulkHead(byteCount)
        let start = batch.bytes.count
        try write(&batch.bytes)
        precondition(batch.bytes.count == start + byteCount, "an argument is as long as its head says")
        batch.bytes.appendLineEnd()
        count += 1
    }
}

/// Encoded arguments that wait for their command, and their number.
package struct ArgumentBuffer: ~Copyable {
    package private(set) var bytes = ByteBuffer()
    package private(set) var count = 0

    package init() {}

    package var isEmpty: Bool { count == 0 }

    package mutating func append(_ argument: borrowing some CommandArgument & ~Copyable & ~Escapable) {
        argument.appendBulk(to: &bytes)
        count += 1
    }

    /// Appends the shortest decimal text that gives `score` back to the last bit.
    mutating func append(score: Double) {
        bytes.appendBulk(score: score)
        count += 1
    }

    package mutating func removeAll() {
        bytes.removeAll()
        count = 0
    }

    /// Calls `body` with a number and the argument after it, pair by pair.
    func forEachPair(_ body: (Int64, RawSpan) -> Void) {
        bytes.withUnsafeBytes { memory in
            var reader = ByteReader(RawSpan(_unsafeBytes: memory))
            while let first = reader.readBulkArgument(), let second = reader.readBulkArgument() {
                body(parseInteger(first) ?? 0, second)
            }
        }
    }

    /// A position between two arguments.
    struct Place {
        fileprivate var byteCount = 0
        fileprivate var count = 0
    }

    /// The position after the last argument.
    var end: Place { Place(byteCount: bytes.count, count: count) }

    /// Whether the buffer still extends to `place`.
    func reaches(_ place: Place) -> Bool { count >= place.count && bytes.count >= place.byteCount }

    /// Removes the arguments after `place`.
    mutating func removeAll(after place: Place) {
        bytes.truncate(to: place.byteCount)
        count = place.count
    }
}
