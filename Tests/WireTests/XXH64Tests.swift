import Testing
import Wire

@Suite struct `XXH 64` {
    /// Of the bytes 1, 8, 15, ... modulo 256; worked out with xxhash.h.
    @Test(
        arguments: [
            (0, 0xEF46_DB37_51D8_E999, 0x64FC_8CBF_02EB_43E1), (1, 0x8A41_2781_1B21_E730, 0xE7F2_E8F0_264C_3036),
            (3, 0xB6E6_C910_C2FD_373A, 0x61C0_FF1D_88F3_5AD8), (4, 0x22ED_A2CF_6AF4_C124, 0x02BA_087E_80C3_D056),
            (7, 0x3408_4D91_A233_A751, 0xA9CF_E2A0_E9CD_63D3), (8, 0xC6F1_803A_5E0B_3222, 0x7B04_ECD7_6A1E_3AB7),
            (12, 0x9178_B724_DCE3_84C0, 0x936B_A8E2_BB60_5F8C), (31, 0x6AB1_C40E_29F5_0073, 0x7644_C6B7_46D2_355B),
            (32, 0x5A07_56FB_E9EC_D3D1, 0x1EE7_983A_E792_5F02), (33, 0xDC50_CDC3_7BB9_C183, 0xE2C8_9858_C100_908B),
            (63, 0x10DD_9488_5C71_894A, 0x1253_06D1_FC8F_7D50), (64, 0x9008_3DA9_CDB9_D795, 0x303A_A7CB_1B0F_0D24),
            (100, 0xD248_BFC5_208B_0B16, 0x74B2_BD76_B894_EF53),
        ] as [(Int, UInt64, UInt64)])
    func `hashes equal those of the reference`(count: Int, plain: UInt64, seeded: UInt64) {
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 * 7 + 1) }
        #expect(XXH64.hash(bytes.span.bytes, seed: 0) == plain)
        #expect(XXH64.hash(bytes.span.bytes, seed: 120_577_240_643) == seeded)
    }

    /// This is how a copy of a key in another shard is recognised (`KeyOwnership`).
    @Test func `each key of a real master is in the shard that its hash names`() {
        var keys = 0
        for recording in Recording.all {
            let flows = recording.flows()
            for (index, flow) in flows.enumerated() {
                for case .value(_, let key, _) in feedFlow(flow.bytes, token: flow.token).items {
                    keys += 1
                    #expect(XXH64.hash(key.span.bytes, seed: 120_577_240_643) % UInt64(flows.count) == UInt64(index))
                }
            }
        }
        #expect(keys > 1000)
    }
}
