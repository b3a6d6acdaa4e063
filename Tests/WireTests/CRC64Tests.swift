import Base
import Testing
import Wire

@Suite struct `CRC 64` {
    private func checksum(_ pieces: [UInt8]...) -> UInt64 {
        var crc = CRC64()
        for piece in pieces { crc.update(piece.span.bytes) }
        return crc.value
    }

    @Test func `The check value is Redis's`() {
        #expect(checksum(Array("123456789".utf8)) == 0xE9C6_D914_C4B8_D9CA)
        #expect(checksum([]) == 0)
    }

    /// Protocol V22: a string "v", RDB version 9, checksum.
    @Test func `A DUMP payload of a master has the right checksum`() {
        #expect(checksum(hex("00 01 76 09 00")).littleEndian == 0x7FE9_BE4D_7E9F_FA41)
    }

    @Test func `Pieces of any length give the checksum of the whole`() {
        var random = SplitMix64(seed: 7)
        let bytes = random.bytes(100)
        let whole = checksum(bytes)
        for cut in 0...bytes.count {
            #expect(checksum(Array(bytes[..<cut]), Array(bytes[cut...])) == whole)
        }
        var byBit: UInt64 = 0
        for byte in bytes {
            byBit ^= UInt64(byte)
            for _ in 0..<8 { byBit = byBit & 1 == 1 ? byBit >> 1 ^ 0x95AC_9329_AC4B_C9B5 : byBit >> 1 }
        }
        #expect(whole == byBit)
    }
}
