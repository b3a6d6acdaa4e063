import Testing
import Wire

/// One chunk of a value.
private func chunk(_ id: UInt32, _ payload: String) -> [UInt8] {
    let payload = hex(payload)
    return written {
        $0.append(0xE0)
        $0.append(littleEndian: id)
        $0.append(littleEndian: UInt32(payload.count))
        $0.append(payload.span.bytes)
    }
}

@Suite struct `Values in tagged chunks` {
    /// Two values with entries, journal records and other databases between their chunks.
    private static let interleaved: [UInt8] =
        hex("fe 01") + chunk(1, "fc 00 38 d3 60 ba 01 00 00 | dc 03 00 00 00 4d 00 00 00 | 02 01 73 03 01 61")
        + hex("00 01 6b 01 76 | fe 02") + chunk(9, "04 01 68 02 01 66 01 76 01 67")
        + hex("00 01 6c 01 77 | d2 01 0f 06 00 0a 00 01 03 05 03 53 45 54 01 6b 01 76") + chunk(1, "01 62")
        + hex("fe 03 | fc 01 00 00 00 00 00 00 00 | 00 01 6d 01 78") + chunk(9, "01 77") + chunk(1, "01 63")
        + hex("00 01 6e 01 79")

    private static let items: [FlowRecorder.Item] = [
        value(.string, "k", texts("v"), database: 1),
        value(.string, "l", texts("w"), database: 2),
        .command(
            [Array("SET".utf8), Array("k".utf8), Array("v".utf8)], database: 0, isExpired: false, inSnapshot: true),
        value(.string, "m", texts("x"), database: 3, expiry: 1),
        value(.hash, "h", texts("f", "v", "g", "w"), database: 2),
        value(.set, "s", texts("a", "b", "c"), database: 1, expiry: 1_900_000_000_000, isSticky: true),
        value(.string, "n", texts("y"), database: 3),
    ]

    @Test func `Two values are read whose chunks alternate with each other, entries and databases`() {
        let outcome = expectSameHoweverFed(flow(Self.interleaved), closeFeedings)
        #expect(outcome.items == Self.items + flowEndItems)
        #expect(outcome.error == nil)
        #expect(outcome.partedValues == 2)
    }

    @Test func `Chunks may be in compressed blobs, alone or among other units`() {
        for cut in [1, 2, 3, 5] {
            // blobs hold whole units: cut at the heads of units
            let units: [[UInt8]] = [
                hex("fe 01"), chunk(1, "02 01 73 03 01 61"), hex("00 01 6b 01 76"), hex("fe 02"),
                chunk(9, "04 01 68 01 01 66"), chunk(1, "01 62"), chunk(9, "01 76"), hex("00 01 6c 01 77"),
                chunk(1, "01 63"),
            ]
            var entries: [UInt8] = []
            for start in stride(from: 0, to: units.count, by: cut) {
                let part = Array(units[start..<min(units.count, start + cut)].joined())
                let isPacked = (start / cut) % 2 == 0
                let frame = isPacked ? lz4Frame(part) : zstdFrame(part)
                entries += written {
                    $0.append(isPacked ? 0xCA : 0xC9)
                    $0.append(rdbString: frame.span.bytes)
                }
            }
            let outcome = expectSameHoweverFed(flow(entries), closeFeedings)
            #expect(
                outcome.items == [
                    value(.string, "k", texts("v"), database: 1), value(.hash, "h", texts("f", "v"), database: 2),
                    value(.string, "l", texts("w"), database: 2), value(.set, "s", texts("a", "b", "c"), database: 1),
                ] + flowEndItems)
        }
    }

    @Test func `The id of a complete value may be used again`() {
        let entries = chunk(1, "02 01 73 01 01 61") + chunk(1, "02 01 74 01 01 62") + chunk(1, "02 01 75 00")
        let outcome = expectSameHoweverFed(flow(entries), closeFeedings)
        #expect(
            outcome.items == [value(.set, "s", texts("a")), value(.set, "t", texts("b")), value(.set, "u", [])]
                + flowEndItems)
    }

    @Test func `A chunk may end after the key, and after the number of elements`() {
        let entries =
            chunk(1, "02 01 73") + chunk(1, "02") + chunk(1, "01 61") + chunk(1, "01 62") + hex("00 01 6b 01 76")
        let outcome = expectSameHoweverFed(flow(entries), closeFeedings)
        #expect(outcome.items == [value(.set, "s", texts("a", "b")), value(.string, "k", texts("v"))] + flowEndItems)
    }

    @Test func `A chunk with a single long element is not kept in the window`() {
        let long = [UInt8](repeating: 0x61, count: 1 << 20)
        let entries = written {
            $0.append(0xE0)
            $0.append(littleEndian: UInt32(1))
            $0.append(littleEndian: UInt32(4 + 5 + long.count))
            $0.append(hex("02 01 73 01").span.bytes)
            $0.append(rdbString: long.span.bytes)
        }
        let outcome = feedFlow(flow(entries), .pieces(of: 4096))
        #expect(outcome.items == [value(.set, "s", [.bytes(long)])] + flowEndItems)
        #expect(outcome.greatestRemainder < 8192)
    }

    @Test func `A chunk that ends inside a long element is refused before the next entry is read`() {
        for isCompressed in [false, true] {
            let long = [UInt8](repeating: 0x61, count: 100_000)
            var element = written { $0.append(rdbString: long.span.bytes) }
            if isCompressed {
                // 3125 runs of 32 literal bytes.
                let packed = (0..<3125).flatMap { _ in [31] + long.prefix(32) }
                element = hex("c3 80 00 01 92 d5 80 00 01 86 a0") + packed
            }
            let part = Array(element.prefix(80_000))
            let entries = written {
                $0.append(0xE0)
                $0.append(littleEndian: UInt32(1))
                $0.append(littleEndian: UInt32(4 + part.count))
                $0.append(hex("02 01 73 01").span.bytes)
                $0.append(part.span.bytes)
                $0.append(hex("00 01 6b 01 76").span.bytes)
            }
            let outcome = feedFlow(flow(entries), .pieces(of: 4096))
            #expect(
                outcome.error?.cause
                    == .malformed("a tagged chunk ends inside an element", offset: 9 + 9 + 4 + part.count),
                "compressed: \(isCompressed)")
            #expect(!outcome.items.contains(value(.string, "k", texts("v"))))
        }
    }

    @Test func `Hostile chunks never trap`() {
        feedHostileFlow(flow(Self.interleaved))
    }
}
