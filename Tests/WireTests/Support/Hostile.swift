import Base
import Testing
import Wire

/// Feeds `decode` what a broken or hostile peer may send: `sample` cut at every offset, and 10,000 mutations of it.
/// Nothing may trap; an error must lie within the bytes. A failure prints the seed that repeats it.
///
/// `decode` returns false if bytes are missing.
func feedHostileBytes(
    _ sample: [UInt8], seed: UInt64 = .random(in: 0 ... .max), mutations: Int = 10_000,
    sourceLocation: SourceLocation = #_sourceLocation, _ decode: ([UInt8]) throws(WireError) -> Bool
) {
    func feed(_ bytes: [UInt8], _ how: String) {
        do throws(WireError) {
            _ = try decode(bytes)
        } catch {
            #expect(
                (0...bytes.count).contains(error.offset), "\(how): error outside the bytes: \(error)",
                sourceLocation: sourceLocation)
        }
    }
    for count in 0...sample.count { feed(Array(sample[..<count]), "cut at \(count)") }
    // printed before the work: a trap leaves no time to print it after
    print("\(sourceLocation.fileName):\(sourceLocation.line) mutates with seed \(seed)")
    var random = SplitMix64(seed: seed)
    for round in 0..<mutations { feed(random.mutated(sample), "seed \(seed), mutation \(round)") }
}

/// Checks that `decode` requests more bytes at every cut of `sample` without moving, and consumes the whole sample.
///
/// `decode` gets a reader over `sample` or a beginning of it, and returns false if bytes are missing.
func expectWaits(
    _ sample: [UInt8], sourceLocation: SourceLocation = #_sourceLocation,
    _ decode: (inout ByteReader) throws(WireError) -> Bool
) throws {
    for count in 0..<sample.count {
        let beginning = Array(sample[..<count])
        var reader = ByteReader(beginning.span.bytes)
        let isWhole = try decode(&reader)
        #expect(!isWhole, "whole at \(count) of \(sample.count) bytes", sourceLocation: sourceLocation)
        #expect(reader.offset == 0, "moved at a cut at \(count)", sourceLocation: sourceLocation)
    }
    var reader = ByteReader(sample.span.bytes)
    let isWhole = try decode(&reader)
    #expect(isWhole, "not whole with all bytes", sourceLocation: sourceLocation)
    #expect(reader.remaining == 0, "bytes left over", sourceLocation: sourceLocation)
}
