import Testing

@testable import Service

@Suite struct `A state directory of somebody else` {
    @Test func `is not written to by root`() {
        func refusal(_ owner: UInt32, _ runner: UInt32) -> String? {
            StateOwner.refusal(of: "/s", owner: owner, name: "df2redis", runner: runner)
        }
        #expect(refusal(0, 0) == nil)
        #expect(refusal(990, 990) == nil)
        #expect(
            refusal(990, 0)
                == "/s belongs to df2redis, who could not replace what root writes there: run it as df2redis: sudo -u 'df2redis' df2redis ..."
        )
        #expect(StateOwner.refusal(of: "/no/such/folder", runner: 0) == nil)
    }
}
