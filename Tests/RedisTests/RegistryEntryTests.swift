import Testing
import Wire

@testable import Redis

@Suite struct `A task's entry in the list of tasks` {
    @Test(arguments: [
        "", "0", "0,3", "0,3,full", "follows:none", "0,3,full,follows:0a1b:77ff:all", "follows:0a1b:77ff:all-3-5",
        "0,follows:0a1b:77ff:0+5", "follows:0a1b:77ff:",
    ])
    func `is read as it was written`(_ text: String) {
        #expect(RegistryEntry(text).text == text)
    }

    @Test func `names databases and the source that a process claims`() {
        let entry = RegistryEntry("0,3,full,later,follows:0a1b:77ff:0+3")
        #expect(entry.databases == [0, 3] && entry.isFull)
        #expect(entry.source == .claimed(SourceClaim(replicationID: "0a1b", instance: "77ff", scope: .only([0, 3]))))
        #expect(RegistryEntry("0,full").source == .unknown)
        #expect(RegistryEntry("0,follows:x").source == .refused, "it is of a later version")
    }

    private let key = "df2redis:checkpoint:test"

    private func read(_ text: String?, _ registry: TaskRegistry) -> OtherTasks {
        let own = text.map { [key, $0] } ?? []
        let words = own + ["other", "5,follows:0a1b:7:all"]
        return registry.others(in: .array(words.map { .bulk(Array($0.utf8)) }))
    }

    @Test func `keeps what earlier processes wrote until this one knows which databases they filled`() {
        let registry = TaskRegistry(checkpoint: key)
        #expect(registry.command == ["HSETNX", TaskRegistry.key, key, ""])
        let others = read("0,3,full,follows:0a1b:1:all", registry)
        #expect(others.databases == ["other": [5]])
        #expect(
            others.sources == [
                "other": .claimed(SourceClaim(replicationID: "0a1b", instance: "7", scope: .all(except: [])))
            ])
        #expect(registry.command.last == "0,3,full,follows:0a1b:1:all")
        #expect(registry.filledBefore == [0, 3])
        _ = registry.claim(SourceClaim(replicationID: "0a1b", instance: "2", scope: .all(except: [])))
        #expect(registry.command.last == "0,3,full,follows:0a1b:2:all")
        #expect(registry.learn([0]))
        #expect(registry.command == ["HSET", TaskRegistry.key, key, "0,follows:0a1b:2:all"])
    }

    @Test func `has the claim of this process until it is withdrawn`() {
        let (registry, claim) = (
            TaskRegistry(checkpoint: key), SourceClaim(replicationID: "0a1b", instance: "2", scope: .all(except: []))
        )
        _ = read(nil, registry)
        #expect(registry.claim == nil)
        #expect(registry.claim(claim) == nil)
        #expect(registry.claim == claim)
        _ = read("follows:0a1b:2:all", registry)
        registry.withdraw(to: nil)
        #expect(registry.command.last == "follows:none")
        #expect(registry.claim == nil)
    }
}

@Suite struct `Databases that a task may fill` {
    @Test(arguments: [
        ("all", "all", true), ("all-0", "all-1", true), ("all", "3", true), ("all-3", "3", false),
        ("all-3", "0+3", true), ("0", "3", false), ("0+3", "3+5", true), ("", "all", false), ("later", "3", true),
    ])
    func `may overlap with those of another task`(_ one: String, _ other: String, _ overlap: Bool) {
        #expect(DatabaseScope(one).overlaps(DatabaseScope(other)) == overlap)
        #expect(DatabaseScope(other).overlaps(DatabaseScope(one)) == overlap)
    }

    @Test func `grow with the stream`() {
        var scope = DatabaseScope("0")
        scope.add([5])
        #expect(scope == .only([0, 5]))
        scope = .all(except: [3])
        scope.add([3])
        #expect(scope == .all(except: []))
    }
}
