/// Reads the entries of one node of a stream.
///
/// ```
/// master:  count, deleted, number of fields, field₁ … fieldₙ, 0
/// entry:   flags, milliseconds, sequence,
///          with flags & 2: n values, for the master's fields;  else: number of fields, (field, value) …
///          number of the entry's elements before this one
/// ```
/// All are elements of one listpack. Flags & 1 marks a deleted entry. Milliseconds and sequence are what must be added,
/// modulo 2^64, to the node's master id. Source: Protocol 3.7.4. Error offsets count from the
/// start of the listpack.
package struct StreamNodeReader: ~Escapable {
    /// The id that the entries' ids are relative to.
    package let masterID: StreamID
    /// The number of entries that are not deleted, according to the master entry.
    package let liveCount: Int
    /// The number of entries that are deleted, according to the master entry.
    package let deletedCount: Int
    private let masterFieldCount: Int
    /// A reader at the master's first field.
    private let masterFields: ListpackReader
    private var elements: ListpackReader
    private var liveLeft: Int
    private var deletedLeft: Int
    private var lastID: StreamID?

    private static let deletedFlag: Int64 = 1
    private static let sameFieldsFlag: Int64 = 2

    /// - Throws: `malformed` for a broken listpack or master entry.
    @_lifetime(copy listpack)
    package init(masterID: StreamID, listpack: RawSpan) throws(WireError) {
        var elements = try ListpackReader(listpack)
        let liveCount = try elements.readStreamCount()
        let deletedCount = try elements.readStreamCount()
        let fieldCount = try elements.readStreamCount()
        let fields = elements
        try elements.skipStreamElements(fieldCount)
        let end = elements.offset
        guard try elements.readStreamInteger() == 0 else {
            throw .malformed("stream node without the end of its master entry", offset: end)
        }
        self.masterID = masterID
        self.liveCount = liveCount
        self.deletedCount = deletedCount
        masterFieldCount = fieldCount
        masterFields = fields
        self.elements = elements
        liveLeft = liveCount
        deletedLeft = deletedCount
    }

    /// Reads a node of a stream: the 16 bytes of its key, and its listpack.
    ///
    /// - Throws: as `init(masterID:listpack:)`, and `malformed` for a key of another length.
    @_lifetime(copy listpack)
    package init(key: RawSpan, listpack: RawSpan) throws(WireError) {
        var reader = ByteReader(key)
        guard key.byteCount == StreamID.byteCount, let masterID = StreamID(readBigEndian: &reader) else {
            throw .malformed("stream node with a key that is no id", offset: 0)
        }
        try self.init(masterID: masterID, listpack: listpack)
    }

    /// Reads the next entry, including deleted ones; `nil` after the last.
    ///
    /// - Throws: `malformed` for broken entries, ids that do not ascend, and other numbers of live and deleted entries
    ///   than the master entry says; `unsupported` for an unknown flag.
    @_lifetime(copy self)
    package mutating func next() throws(WireError) -> StreamEntry? {
        let start = elements.offset
        guard !elements.isAtEnd else {
            _ = try elements.skip()  // checks the number of elements
            guard liveLeft == 0, deletedLeft == 0 else { throw wrongCount(at: start) }
            return nil
        }
        let flags = try elements.readStreamInteger()
        guard flags & ~(Self.deletedFlag | Self.sameFieldsFlag) == 0 else {
            throw .unsupported("flags of a stream entry", code: UInt64(bitPattern: flags), offset: start)
        }
        let isDeleted = flags & Self.deletedFlag != 0
        let sharesFields = flags & Self.sameFieldsFlag != 0
        let id = try readID(at: start)
        let fieldCount = sharesFields ? masterFieldCount : try elements.readStreamCount()
        let fields = StreamFieldReader(
            names: masterFields, elements: elements, sharesNames: sharesFields, count: fieldCount)
        try elements.skipStreamElements(sharesFields ? fieldCount : 2 * fieldCount)
        let elementCount = sharesFields ? 3 + fieldCount : 4 + 2 * fieldCount
        guard try elements.readStreamInteger() == elementCount else {
            throw .malformed("stream entry with a wrong number of elements", offset: start)
        }
        if isDeleted { deletedLeft -= 1 } else { liveLeft -= 1 }
        guard liveLeft >= 0, deletedLeft >= 0 else { throw wrongCount(at: start) }
        return StreamEntry(id: id, isDeleted: isDeleted, fieldCount: fieldCount, fields: fields)
    }

    /// The ID of the entry at `start`. Redis writes the differences modulo 2^64, so an overflow alone is not an error. It
    /// can only be checked that each entry comes after the previous one.
    private mutating func readID(at start: Int) throws(WireError) -> StreamID {
        let milliseconds = UInt64(bitPattern: try elements.readStreamInteger())
        let sequence = UInt64(bitPattern: try elements.readStreamInteger())
        let id = StreamID(
            milliseconds: masterID.milliseconds &+ milliseconds, sequence: masterID.sequence &+ sequence)
        guard lastID.map({ $0 < id }) ?? (masterID <= id) else {
            throw .malformed("stream entry with an id before its forerunner's", offset: start)
        }
        lastID = id
        return id
    }

    private func wrongCount(at offset: Int) -> WireError {
        .malformed("stream node with another number of entries than its head says", offset: offset)
    }
}

/// One entry of a stream.
package struct StreamEntry: ~Escapable {
    package let id: StreamID
    /// Whether the entry is no longer in the stream.
    package let isDeleted: Bool
    package let fieldCount: Int
    /// The fields with their values, from the first on.
    package let fields: StreamFieldReader

    @_lifetime(copy fields)
    fileprivate init(id: StreamID, isDeleted: Bool, fieldCount: Int, fields: StreamFieldReader) {
        self.id = id
        self.isDeleted = isDeleted
        self.fieldCount = fieldCount
        self.fields = fields
    }
}

/// A field of a stream's entry.
package struct StreamField: ~Escapable {
    package let name: ListpackElement
    package let value: ListpackElement

    @_lifetime(copy name, copy value)
    fileprivate init(name: ListpackElement, value: ListpackElement) {
        self.name = name
        self.value = value
    }
}

/// Walks over the fields of one entry. The names of fields that it shares with the master entry are stored there.
package struct StreamFieldReader: ~Escapable {
    private var names: ListpackReader
    private var elements: ListpackReader
    private let sharesNames: Bool
    private var left: Int

    @_lifetime(copy names, copy elements)
    fileprivate init(names: ListpackReader, elements: ListpackReader, sharesNames: Bool, count: Int) {
        self.names = names
        self.elements = elements
        self.sharesNames = sharesNames
        left = count
    }

    /// The next field; `nil` after the last.
    ///
    /// - Throws: never in practice, because the node reader has walked over these elements.
    @_lifetime(copy self)
    package mutating func next() throws(WireError) -> StreamField? {
        guard left > 0 else { return nil }
        left -= 1
        let name = sharesNames ? try names.next() : try elements.next()
        guard let name, let value = try elements.next() else { return nil }
        return StreamField(name: name, value: value)
    }
}

extension ListpackReader {
    /// The next element, which must be there and be an integer.
    fileprivate mutating func readStreamInteger() throws(WireError) -> Int64 {
        let start = offset
        guard let element = try next() else { throw .malformed("truncated stream node", offset: start) }
        guard case .integer(let value) = element else {
            throw .malformed("stream node with text for a number", offset: start)
        }
        return value
    }

    /// The next element as a count. No node has more elements than bytes, so a loop over the count stays short.
    fileprivate mutating func readStreamCount() throws(WireError) -> Int {
        let start = offset
        let value = try readStreamInteger()
        guard let count = UInt32(exactly: value) else {
            throw .malformed("stream node with a count out of range", offset: start)
        }
        return Int(count)
    }

    fileprivate mutating func skipStreamElements(_ count: Int) throws(WireError) {
        for _ in 0..<count {
            let start = offset
            guard try skip() else { throw .malformed("truncated stream node", offset: start) }
        }
    }
}
