/// Keys and their values.
extension FlowDecoder {
    /// Reads a key and its value. A large value is only begun here; `continueValue` continues it.
    mutating func readEntry(
        _ reader: inout ByteReader, type: RDBType, into sink: inout some FlowSink & ~Copyable
    ) throws(WireError) -> Bool {
        guard let key = try readKey(&reader) else { return false }
        do throws(WireError) {
            if type == .string || type == .json {
                return try readOneString(&reader, type: type, key: key, into: &sink)
            }
            return try readBody(&reader, type: type, key: key, into: &sink)
        } catch {
            remember(key, in: reader.bytes)
            throw error
        }
    }

    /// Where the bytes of a key are: in the window, or in `keyScratch` if they had to be decoded.
    private enum Key {
        case window(Range<Int>)
        case scratch
    }

    private mutating func readKey(_ reader: inout ByteReader) throws(WireError) -> Key? {
        guard let head = try reader.readStringHead() else { return nil }
        let body = reader.offset
        switch head {
        case .raw(let count):
            return reader.skip(count) ? .window(body..<(body + count)) : nil
        case .integer(let number):
            keyScratch.removeAll()
            keyScratch.append(decimal: number)
            return .scratch
        case .compressed(let count, let uncompressedCount):
            guard let packed = reader.readSpan(count) else { return nil }
            keyScratch.removeAll()
            do throws(WireError) {
                try LZF.decompress(packed, uncompressedCount: uncompressedCount, into: &keyScratch)
            } catch {
                throw error.shifted(by: body)
            }
            return .scratch
        }
    }

    private mutating func remember(_ key: Key, in window: RawSpan) {
        switch key {
        case .window(let range): remember(window.extracting(range), database: database)
        case .scratch:
            // The scratch is moved out of `self` meanwhile, so that its bytes can be read while `self` changes.
            var bytes = ByteBuffer()
            swap(&bytes, &keyScratch)
            remember(bytes.bytes, database: database)
            swap(&bytes, &keyScratch)
        }
    }

    private func head(_ type: RDBType) -> EntryHead {
        EntryHead(database: database, expiryMilliseconds: expiryMilliseconds, type: type, isSticky: isSticky)
    }

    /// Resets the attributes that preceded the key, because they apply to this key alone.
    private mutating func endHead(_ key: Key, in window: RawSpan) {
        (expiryMilliseconds, isSticky) = (nil, false)
        remember(key, in: window)
    }

    // MARK: Values of one string

    private mutating func readOneString(
        _ reader: inout ByteReader, type: RDBType, key: Key, into sink: inout some FlowSink & ~Copyable
    ) throws(WireError) -> Bool {
        let start = reader.offset
        guard let head = try reader.readStringHead() else { return false }
        let body = reader.offset
        switch head {
        case .raw(let count) where count <= Self.wholeValueBytes:
            guard let text = reader.readSpan(count) else { return false }
            guard type == .string else { break }
            emitString(text, key: key, in: reader.bytes, into: &sink)
        case .integer(let number):
            guard type == .string else { break }
            valueScratch.removeAll()
            valueScratch.append(decimal: number)
            emitString(valueScratch.bytes, key: key, in: reader.bytes, into: &sink)
        case .compressed(let count, let uncompressedCount)
        where count <= Self.wholeValueBytes && uncompressedCount <= Self.wholeValueBytes:
            guard let packed = reader.readSpan(count) else { return false }
            guard type == .string else { break }
            valueScratch.removeAll()
            do throws(WireError) {
                try LZF.decompress(packed, uncompressedCount: uncompressedCount, into: &valueScratch)
            } catch {
                throw error.shifted(by: body)
            }
            emitString(valueScratch.bytes, key: key, in: reader.bytes, into: &sink)
        case .raw, .compressed:
            reader.rewind(to: start)
            return try beginValue(&reader, type: type, key: key, into: &sink)
        }
        if type != .string {
            emitBody(
                reader.bytes.extracting(start..<reader.offset), type: type, key: key, in: reader.bytes, into: &sink)
        }
        endHead(key, in: reader.bytes)
        return true
    }

    private func emitString(
        _ text: RawSpan, key: Key, in window: RawSpan, into sink: inout some FlowSink & ~Copyable
    ) {
        switch key {
        case .window(let range): sink.stringEntry(head(.string), key: window.extracting(range), value: text)
        case .scratch: sink.stringEntry(head(.string), key: keyScratch.bytes, value: text)
        }
    }

    private func emitBody(
        _ body: RawSpan, type: RDBType, key: Key, in window: RawSpan, into sink: inout some FlowSink & ~Copyable
    ) {
        switch key {
        case .window(let range): sink.entry(head(type), key: window.extracting(range), body: body)
        case .scratch: sink.entry(head(type), key: keyScratch.bytes, body: body)
        }
    }

    // MARK: Other values

    private mutating func readBody(
        _ reader: inout ByteReader, type: RDBType, key: Key, into sink: inout some FlowSink & ~Copyable
    ) throws(WireError) -> Bool {
        let start = reader.offset
        guard let end = try endOfValue(at: start, in: reader.bytes, type: type) else {
            // A value that is one string cannot be handed over in parts; a sound master keeps these encodings small.
            if type.isOneString || reader.remaining < Self.wholeValueBytes { return false }
            extent = nil
            return try beginValue(&reader, type: type, key: key, into: &sink)
        }
        _ = reader.skip(end - start)
        emitBody(reader.bytes.extracting(start..<end), type: type, key: key, in: reader.bytes, into: &sink)
        endHead(key, in: reader.bytes)
        return true
    }

    /// The offset after the value at `start`; `nil` if it is incomplete, or larger than what is handed over whole.
    private mutating func endOfValue(at start: Int, in window: RawSpan, type: RDBType) throws(WireError) -> Int? {
        if type.isOneString {
            var reader = ByteReader(window, offset: start)
            return try reader.skipString() ? reader.offset : nil
        }
        // The walk continues where it stopped when the window held less of the value.
        var walk = extent.take() ?? ValueExtent(type: type)
        let bounded = window.extracting(first: min(window.byteCount, start + Self.wholeValueBytes))
        if let end = try walk.advance(through: bounded, from: start) { return end }
        extent = consume walk
        return nil
    }

    // MARK: Values in parts

    private mutating func beginValue(
        _ reader: inout ByteReader, type: RDBType, key: Key, into sink: inout some FlowSink & ~Copyable
    ) throws(WireError) -> Bool {
        value = ValueDecoder(type: type)
        switch key {
        case .window(let range): sink.valueBegan(head(type), key: reader.bytes.extracting(range), stream: 0)
        case .scratch: sink.valueBegan(head(type), key: keyScratch.bytes, stream: 0)
        }
        endHead(key, in: reader.bytes)
        return try continueValue(&reader, into: &sink)
    }

    mutating func continueValue(
        _ reader: inout ByteReader, into sink: inout some FlowSink & ~Copyable
    ) throws(WireError) -> Bool {
        guard try value?.resume(&reader, into: &sink) ?? true else { return false }
        value = nil
        return true
    }
}
