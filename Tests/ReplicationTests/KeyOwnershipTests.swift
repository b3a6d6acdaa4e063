import Dragonfly
import Logging
import Redis
import Testing
import Wire

@testable import Replication

/// Which keys are a flow's own, when nobody says what the master hashes.
@Suite struct `Keys and the shards that own them` {
    private static let flowCount = 4

    private static func owner(_ text: String) -> Int {
        let text = Array(text.utf8)
        return Int(XXH64.hash(text.span.bytes, seed: 120_577_240_643) % UInt64(flowCount))
    }

    private static func tag(_ key: String) -> String {
        guard let open = key.firstIndex(of: "{"), let close = key[open...].firstIndex(of: "}") else { return key }
        return String(key[key.index(after: open)..<close])
    }

    private static func keys(_ prefix: String, of flow: Int, by text: @escaping (String) -> String) -> [String] {
        Array((0..<4000).lazy.map { "\(prefix)\($0)}" }.filter { owner(text($0)) == flow }.prefix(60))
    }

    private func ownership(ownKeys: [String], flow: Int = 1, flowCount: Int = 4) -> KeyOwnership {
        var ownership = KeyOwnership(flow: FlowID(flow), flowCount: flowCount)
        for key in ownKeys where ownership.needsEvidence { ownership.learn(fromOwnKey: Array(key.utf8).span.bytes) }
        return ownership
    }

    private func isCopy(_ key: String, _ ownership: KeyOwnership) -> Bool {
        ownership.isCopy(Array(key.utf8).span.bytes)
    }

    @Test func `a key of another flow is a copy once enough keys have shown what is hashed`() {
        let own = Self.keys("k", of: 1) { $0 }
        let foreign = Self.keys("k", of: 2) { $0 }
        #expect(!foreign.contains { isCopy($0, ownership(ownKeys: Array(own.prefix(9)))) })
        let proven = ownership(ownKeys: Array(own.prefix(10)))
        #expect(!proven.needsEvidence)
        #expect(foreign.allSatisfy { isCopy($0, proven) })
        #expect(!own.contains { isCopy($0, proven) })
    }

    @Test func `a master that hashes only tags is recognized`() {
        let own = Self.keys("x{", of: 1, by: Self.tag)
        let proven = ownership(ownKeys: own)
        #expect(!own.contains { isCopy($0, proven) })
        #expect(Self.keys("x{", of: 3, by: Self.tag).allSatisfy { isCopy($0, proven) })
        #expect(!isCopy("y{\(Self.tag(own[0]))}{other}z", proven), "the first tag counts")
        #expect(isCopy(Self.keys("x{}", of: 0) { $0 }[0], proven), "an empty tag is none")
    }

    @Test func `no key is called a copy if keys are distributed in another way`() {
        let mixed = (0..<60).map { "k\($0)" }
        let lost = ownership(ownKeys: mixed)
        #expect(!lost.needsEvidence)
        #expect(!mixed.contains { isCopy($0, lost) })
    }

    @Test func `a single key that does not fit ends the detection of copies, however late`() {
        var ownership = ownership(ownKeys: Self.keys("k", of: 1) { $0 })
        let foreign = Self.keys("user:", of: 2) { $0 }
        #expect(isCopy(foreign[0], ownership))
        // The flag --locktag_delimiter concerns keys with the delimiter only.
        ownership.learn(fromOwnKey: Array(foreign[1].utf8).span.bytes)
        #expect(ownership.placement.isContradicted)
        #expect(!foreign.contains { isCopy($0, ownership) })
        #expect(ownership.placement.flow(of: Array(foreign[0].utf8)) == nil)
    }

    @Test func `the same key again proves nothing, nor does another with the same tag`() {
        let key = Self.keys("k", of: 1) { $0 }[0]
        #expect(ownership(ownKeys: Array(repeating: key, count: 100)).needsEvidence)
        let tagged = Self.keys("x{", of: 1, by: Self.tag)[0]
        #expect(ownership(ownKeys: (0..<100).map { tagged + "\($0)" }).needsEvidence)
    }

    @Test func `a master of one shard has no copies`() {
        let alone = ownership(ownKeys: ["a", "b"], flow: 0, flowCount: 1)
        #expect(!alone.needsEvidence)
        #expect(!isCopy("c", alone))
    }
}

/// PFMERGE's copies in the streams of shards that do not own the key.
@Suite struct `Copies that PFMERGE leaves` {
    private static let merged = Array("HYLL".utf8) + [UInt8](repeating: 0, count: 12 + 12_288)

    private static func keys(of flow: Int) -> [String] {
        Array(
            (0..<2000).lazy.map { "k:\($0)" }.filter { key in
                let key = Array(key.utf8)
                return XXH64.hash(key.span.bytes, seed: 120_577_240_643) % 4 == UInt64(flow)
            }.prefix(60))
    }

    private let own = keys(of: 0)
    private let copied = keys(of: 3)[0]

    private func scene() -> EncoderScene { EncoderScene(context: { $0.session.flowCount = 4 }) }

    @Test func `are left out of the snapshot, and counted`() throws {
        let scene = scene()
        for key in own.prefix(20) { scene.string(key) }
        scene.string(own[20], value: Self.merged)
        scene.string(copied, value: Self.merged)
        scene.string(copied)
        let keys = try scene.lines().filter { $0.hasPrefix("SET") }.map { $0.split(separator: " ")[1] }
        #expect(keys == own.prefix(21).map { $0[...] } + [copied[...]], "what is no HyperLogLog is no copy")
        #expect(scene.incidents.totals == ["stray-copy": 1])
        #expect(scene.letters == [], "no data of the source's")
    }

    @Test func `are left out of the journal, and count as records`() throws {
        let scene = scene()
        scene.becomeStable()
        for key in own.prefix(20) { try scene.journal("INCR \(key)", inSnapshot: false) }
        let merge = { (key: String) in [Array("SET".utf8), Array(key.utf8), Self.merged] }
        try scene.journal(merge(copied), inSnapshot: false)
        try scene.journal(merge(own[20]), inSnapshot: false)
        // The copy's eviction must not take the owner's key.
        try scene.journal("DEL \(copied)", inSnapshot: false)
        try scene.journal("DEL \(own[21])", inSnapshot: false)
        let lines = try scene.lines()
        #expect(!lines.contains { $0.split(separator: " ").contains(copied[...]) })
        #expect(lines.contains { $0.hasPrefix("SET \(own[20])") } && lines.contains("DEL \(own[21])"))
        #expect(scene.incidents.totals == ["stray-copy": 2, "stored-ttl": 1])
        #expect(scene.encoder.nextLSN == 25)
    }

    @Test func `cause the key to be read at the source once, by the flow that owns it`() throws {
        let queue = RefreshQueue(path: nil, logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
        let scene = EncoderScene(
            context: {
                $0.session.flowCount = 4
                $0.refreshes = queue
            })
        scene.becomeStable()
        for key in own.prefix(20) { try scene.journal("INCR \(key)", inSnapshot: false) }
        try scene.journal("DEL \(copied)", inSnapshot: false)
        try scene.journal("DEL \(copied)", inSnapshot: false)
        let asked = queue.take(atMost: 10)
        #expect(asked.map(\.key) == [RefreshKey(database: 0, key: Array(copied.utf8))])
        #expect(asked.map(\.flow) == [FlowID(3)])
        #expect(scene.incidents.totals == ["stray-copy": 2])
    }

    @Test func `are no longer suspected once a key does not fit, so that removals are applied`() throws {
        let scene = scene()
        scene.becomeStable()
        for key in own.prefix(20) { try scene.journal("INCR \(key)", inSnapshot: false) }
        try scene.journal("SADD \(Self.keys(of: 2)[0]) x", inSnapshot: false)
        try scene.journal("DEL \(copied)", inSnapshot: false)
        #expect(try scene.lines().contains("DEL \(copied)"))
        #expect(scene.incidents.totals == [:])
    }

    @Test func `are held back at the start of a snapshot until they can be recognized`() throws {
        let scene = scene()
        scene.string(copied, value: Self.merged)
        scene.string(own[0], value: Self.merged)
        scene.string(own[1], value: Self.merged)
        #expect(try scene.lines() == [])
        // A record must find the value that it builds on.
        try scene.journal("PFADD \(own[0]) x")
        #expect(try scene.lines().count { $0.hasPrefix("SET") } == 3, "unproven, so written")
        scene.string(copied, value: Self.merged)
        for key in own[2..<22] { scene.string(key) }
        #expect(try scene.lines().count { $0.hasPrefix("SET \(copied) HYLL") } == 1)
        #expect(scene.incidents.totals == ["stray-copy": 1])
    }

    @Test func `are written if they are still held back when the snapshot ends`() throws {
        let scene = scene()
        for key in own.prefix(5) { scene.string(key, value: Self.merged) }
        scene.encoder.snapshotCompleted()
        #expect(try scene.lines().count { $0.hasPrefix("SET") } == 5)
    }

    @Test func `are written from the journal before it is known what the master hashes`() throws {
        let scene = scene()
        scene.becomeStable()
        try scene.journal([Array("SET".utf8), Array(copied.utf8), Self.merged], inSnapshot: false)
        #expect(try scene.lines().contains { $0.hasPrefix("SET \(copied)") })
        #expect(scene.incidents.totals == ["stored-ttl": 1])
    }
}
