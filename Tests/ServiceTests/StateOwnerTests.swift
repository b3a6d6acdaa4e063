import Testing

@testable import Service

@Suite struct `A state directory of another user` {
    private let owner = StateOwner(user: 990, group: 991, name: "df2redis")

    @Test func `makes only root drop its privileges`() {
        #expect(owner.mustDropPrivileges(of: 0))
        #expect(!owner.mustDropPrivileges(of: 990))
        #expect(!owner.mustDropPrivileges(of: 1000))
        #expect(!StateOwner(user: 0, group: 0, name: "root").mustDropPrivileges(of: 0))
        #expect(StateOwner(of: "/no/such/folder") == nil)
        #expect(StateOwner(user: 990, group: 991, name: nil).title == "#990")
    }
}
