import Testing

@testable import Service

@Suite struct `A state directory of another user` {
    private let owner = StateOwner(user: 990, group: 991, name: "df2redis")

    @Test func `is taken over by root only`() {
        #expect(owner.isToTakeOver(from: 0))
        #expect(!owner.isToTakeOver(from: 990))
        #expect(!owner.isToTakeOver(from: 1000))
        #expect(!StateOwner(user: 0, group: 0, name: "root").isToTakeOver(from: 0))
        #expect(StateOwner(of: "/no/such/folder") == nil)
        #expect(StateOwner(user: 990, group: 991, name: nil).title == "#990")
    }
}
