import Testing
import Wire

@testable import Redis

@Suite struct `A task's line in the list of tasks` {
    @Test(arguments: [
        "", "0", "0,3", "0,3,full", "follows:none", "0,3,full,follows:0a1b:77ff", "follows:0a1b:77ff",
    ])
    func `is read as it was written`(_ text: String) {
        #expect(TaskLine(text).text == text)
    }

    @Test func `names databases, and the source of a process`() {
        let line = TaskLine("0,3,full,later,follows:0a1b:77ff")
        #expect(line.databases == [0, 3] && line.isFull)
        #expect(line.source == .claimed(SourceClaim(replicationID: "0a1b", instance: "77ff")))
        #expect(TaskLine("0,full").source == .unsaid)
        #expect(TaskLine("0,follows:x").source == FollowedSource.none, "it is of a later version")
    }

    private let key = "df2redis:checkpoint:test"

    private func read(_ text: String?, _ registry: TaskRegistry) -> OtherTasks {
        let own = text.map { [key, $0] } ?? []
        let words = own + ["other", "5,follows:0a1b:7"]
        return registry.others(in: .array(words.map { .bulk(Array($0.utf8)) }))
    }

    @Test func `stays as earlier processes have left it until this one knows what they have filled`() {
        let registry = TaskRegistry(checkpoint: key)
        #expect(registry.command == ["HSETNX", TaskRegistry.key, key, ""])
        let others = read("0,3,full,follows:0a1b:1", registry)
        #expect(others.databases == ["other": [5]])
        #expect(others.sources == ["other": .claimed(SourceClaim(replicationID: "0a1b", instance: "7"))])
        #expect(registry.command.last == "0,3,full,follows:0a1b:1")
        #expect(registry.filledBefore == [0, 3])
        _ = registry.claim(SourceClaim(replicationID: "0a1b", instance: "2"))
        #expect(registry.command.last == "0,3,full,follows:0a1b:2")
        #expect(registry.learn([0]))
        #expect(registry.command == ["HSET", TaskRegistry.key, key, "0,follows:0a1b:2"])
    }

    @Test func `has the claim of this process until another task opposes it`() {
        let (registry, claim) = (TaskRegistry(checkpoint: key), SourceClaim(replicationID: "0a1b", instance: "2"))
        _ = read(nil, registry)
        #expect(registry.claim == nil)
        #expect(registry.claim(claim) == nil)
        #expect(registry.claim == claim)
        _ = read("follows:0a1b:2", registry)
        registry.withdraw(to: nil)
        #expect(registry.command.last == "follows:none")
        #expect(registry.claim == nil)
    }
}
