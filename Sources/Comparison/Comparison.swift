import Dragonfly
import Redis
package import Servers
import Wire

/// Compares what two servers hold, key by key, while clients write to the source and a task follows it.
///
/// 1. The source's keys are walked page by page, and each page is read on both sides.
/// 2. The target's keys are walked. Keys that the source lacks are read on both sides, too.
/// 3. A key that was different is read again several times, each time after the target has what the source had journaled. It
///    counts as different if it is different each time and nothing has changed on either side in between; otherwise it counts
///    as changing. Several readings are needed because a key that comes and goes may look the same twice by chance.
///
/// Nothing is written to either server. Only a few pages of each data set are in memory, and the keys of step 3. The number
/// of these keys is limited: if there are too many, they are read again before the walk continues.
package struct Comparison: Sendable {
    /// How often a key is read again and must be unchanged.
    private static let confirmations = 3

    private let servers: ServerPair
    private let options: ComparisonOptions
    private let onDifference: @Sendable (KeyDifference) -> Void
    private let onProgress: @Sendable (ComparisonProgress) -> Void

    /// - Parameters:
    ///   - onDifference: called once with each key that is different, and with each key that a policy leaves out.
    ///   - onProgress: called after each page of keys.
    package init(
        _ servers: ServerPair, options: ComparisonOptions,
        onDifference: @escaping @Sendable (KeyDifference) -> Void = { _ in },
        onProgress: @escaping @Sendable (ComparisonProgress) -> Void = { _ in }
    ) {
        self.servers = servers
        self.options = options
        self.onDifference = onDifference
        self.onProgress = onProgress
    }

    /// - Throws: `ServerError`; what was found until then cannot be used as a result.
    package func run() async throws(ServerError) -> ComparisonSummary {
        let start = ContinuousClock.now
        let pool = try await ComparerPool(servers, options)
        do throws(ServerError) {
            var walk = Walk(pool: pool, options: options, onDifference: onDifference, onProgress: onProgress)
            try await walk.run()
            await pool.close()
            walk.summary.elapsed = start.duration(to: .now)
            return walk.summary
        } catch {
            await pool.close()
            throw error
        }
    }

    /// One walk over both servers.
    private struct Walk {
        let pool: ComparerPool
        let options: ComparisonOptions
        let onDifference: @Sendable (KeyDifference) -> Void
        let onProgress: @Sendable (ComparisonProgress) -> Void
        var summary: ComparisonSummary
        private var progress = ComparisonProgress()
        private var pending: [PendingKey: Sighting] = [:]

        init(
            pool: ComparerPool, options: ComparisonOptions,
            onDifference: @escaping @Sendable (KeyDifference) -> Void,
            onProgress: @escaping @Sendable (ComparisonProgress) -> Void
        ) {
            self.pool = pool
            self.options = options
            self.onDifference = onDifference
            self.onProgress = onProgress
            summary = ComparisonSummary(mode: options.mode)
        }

        mutating func run() async throws(ServerError) {
            let pool = pool
            let (source, target) = (pool.source, pool.target)
            let sourceCounts = try await source.keyCounts()
            var databases = Set(sourceCounts.keys).union(try await target.keyCounts().keys)
            if let wanted = options.databases { databases.formIntersection(wanted) }
            summary.databases = databases.sorted()
            let leftOut = summary.databases.filter(pool.scope.leavesOut(database:))
            summary.databases.removeAll(where: leftOut.contains)
            for database in leftOut { summary.leftOutDatabases[database] = sourceCounts[database] }
            progress.expectedKeys = summary.databases.reduce(0) { $0 + (sourceCounts[$1] ?? 0) }
            let selection = KeySelection(
                options: options, checkpointKeys: try await checkpointKeys(), isInCluster: target.cluster != nil)
            for database in summary.databases {
                progress.database = database
                progress.step = .comparing
                var pages = KeyPages(server: source, database: database, selection: selection, count: options.pageKeys)
                try await compareAll(in: database) { () async throws(ServerError) in
                    guard let keys = try await pages.next() else { return nil }
                    return keys
                }
                progress.step = .searching
                pages = KeyPages(server: target, database: database, selection: selection, count: options.pageKeys)
                try await compareAll(in: database, areExtra: true) { () async throws(ServerError) in
                    guard let keys = try await pages.next() else { return nil }
                    return try await pool.keysMissingAtSource(keys, database: database)
                }
            }
            try await confirm()
            report()
        }

        /// The keys of the checkpoints of all tasks that the target knows.
        private func checkpointKeys() async throws(ServerError) -> Set<String> {
            let replies = try await pool.target.requests([
                command("SELECT", "0"), command("HKEYS", TaskRegistry.key),
            ])
            return Set([options.checkpointKey] + (replies[1].array ?? []).compactMap(\.text))
        }

        /// Compares pages of keys, as many at the same time as there are comparers.
        private mutating func compareAll(
            in database: UInt32, areExtra: Bool = false,
            _ nextPage: () async throws(ServerError) -> [[UInt8]]?
        ) async throws(ServerError) {
            let outcome = await withTaskGroup(of: ComparedPage.self) { group -> Result<Void, ServerError> in
                var free = pool.comparers
                do throws(ServerError) {
                    while let keys = try await nextPage() {
                        if keys.isEmpty { continue }
                        if free.isEmpty, let page = await group.next() {
                            free.append(page.comparer)
                            try add(page, areExtra: areExtra)
                        }
                        let comparer = free.removeLast()
                        group.addTask {
                            await ComparedPage(comparer: comparer, database: database, keys: keys)
                        }
                        if pending.count >= options.mostPending {
                            while let page = await group.next() {
                                free.append(page.comparer)
                                try add(page, areExtra: areExtra)
                            }
                            let step = progress.step
                            try await confirm()
                            progress.step = step
                        }
                    }
                    while let page = await group.next() { try add(page, areExtra: areExtra) }
                    return .success(())
                } catch {
                    group.cancelAll()
                    return .failure(error)
                }
            }
            try outcome.get()
        }

        private mutating func add(_ page: ComparedPage, areExtra: Bool) throws(ServerError) {
            let findings = try page.findings.get()
            if !areExtra { summary.keys += page.keys.count - findings.goneCount }
            count(findings)
            for finding in findings.different {
                let key = PendingKey(database: page.database, key: finding.difference.key)
                pending[key] = Sighting(digest: finding.digest)
            }
            report()
        }

        private mutating func count(_ findings: KeyComparer.Findings) {
            addLeftOut(findings)
            summary.lateTTLs += findings.lateTTLs
            for (type, count) in findings.unread { summary.unread[type, default: 0] += count }
        }

        private mutating func addLeftOut(_ findings: KeyComparer.Findings) {
            for difference in findings.leftOut {
                summary.leftOut[difference.type, default: 0] += 1
                onDifference(difference)
            }
        }

        private mutating func report() {
            progress.keys = summary.keys
            progress.pending = pending.count
            progress.different = summary.differenceCount
            progress.leftOut = summary.leftOutCount
            onProgress(progress)
        }

        // MARK: Reading again

        /// Reads the differing keys again, until each is equal, or different and unchanged.
        private mutating func confirm() async throws(ServerError) {
            progress.step = .confirming
            for _ in 0..<options.rounds {
                if pending.isEmpty { return }
                report()
                try await pool.position.wait()
                let before = pending
                pending = [:]
                for (database, keys) in Dictionary(grouping: before.keys, by: \.database) {
                    try await readAgain(keys.map(\.key), in: database, before)
                }
            }
            summary.changing += pending.count
            pending = [:]
        }

        private mutating func readAgain(
            _ keys: [[UInt8]], in database: UInt32, _ before: [PendingKey: Sighting]
        ) async throws(ServerError) {
            var rest = keys[...]
            let pages = await withTaskGroup(of: ComparedPage.self) { group in
                var (free, pages) = (pool.comparers, [ComparedPage]())
                while !rest.isEmpty {
                    if free.isEmpty, let page = await group.next() {
                        free.append(page.comparer)
                        pages.append(page)
                    }
                    let (comparer, keys) = (free.removeLast(), Array(rest.prefix(options.pageKeys)))
                    rest = rest.dropFirst(keys.count)
                    group.addTask { await ComparedPage(comparer: comparer, database: database, keys: keys) }
                }
                for await page in group { pages.append(page) }
                return pages
            }
            for page in pages {
                let findings = try page.findings.get()
                addLeftOut(findings)
                for finding in findings.different {
                    let key = PendingKey(database: database, key: finding.difference.key)
                    let sighting = Sighting(digest: finding.digest, after: before[key])
                    guard sighting.confirmations >= Comparison.confirmations else {
                        pending[key] = sighting
                        continue
                    }
                    summary.differences[finding.difference.kind, default: [:]][finding.difference.type, default: 0] += 1
                    onDifference(finding.difference)
                }
            }
        }
    }

    private struct PendingKey: Hashable, Sendable {
        let database: UInt32
        let key: [UInt8]
    }
}

/// The state of a key when it was read last.
private struct Sighting {
    let digest: UInt64
    /// How often the key has been read again and was unchanged.
    let confirmations: Int

    init(digest: UInt64, after earlier: Sighting? = nil) {
        self.digest = digest
        confirmations = earlier.map { $0.digest == digest ? $0.confirmations + 1 : 0 } ?? 0
    }
}

/// A page of keys that has been compared, and the comparer that is free again.
private struct ComparedPage: Sendable {
    let comparer: KeyComparer
    let database: UInt32
    let keys: [[UInt8]]
    let findings: Result<KeyComparer.Findings, ServerError>

    init(comparer: KeyComparer, database: UInt32, keys: [[UInt8]]) async {
        self.comparer = comparer
        self.database = database
        self.keys = keys
        findings = await .catching { () async throws(ServerError) in
            try await comparer.compare(keys, database: database)
        }
    }
}

/// The connections of a comparison: one to each side for walking, and for each comparer one to each side.
struct ComparerPool: Sendable {
    let source: ServerConnection
    let target: ServerConnection
    let comparers: [KeyComparer]
    let position: AppliedPosition
    let scope: PolicyScope

    init(_ servers: ServerPair, _ options: ComparisonOptions) async throws(ServerError) {
        let pacers =
            options.commandsPerSecond > 0
            ? (
                source: Pacer(commandsPerSecond: options.commandsPerSecond),
                target: Pacer(commandsPerSecond: options.commandsPerSecond)
            ) : nil
        var open: [ServerConnection] = []
        do throws(ServerError) {
            source = try await .source(servers.source, role: "check", pacer: pacers?.source)
            open.append(source)
            target = try await .target(servers.target, role: "check", pacer: pacers?.target)
            open.append(target)
            scope = try await PolicyScope(options, servers.target)
            var comparers: [KeyComparer] = []
            for number in 0..<max(1, options.parallel) {
                let source = try await ServerConnection.source(
                    servers.source, role: "check.\(number)", pacer: pacers?.source)
                open.append(source)
                let target = try await ServerConnection.target(
                    servers.target, role: "check.\(number)", pacer: pacers?.target)
                open.append(target)
                comparers.append(
                    KeyComparer(
                        source: source, target: target, mode: options.mode, ttlMargins: options.ttlMargins,
                        scope: scope))
            }
            self.comparers = comparers
        } catch {
            for connection in open { await connection.close() }
            throw error
        }
        position = AppliedPosition(
            source: source, target: target, checkpointKey: options.checkpointKey, settle: options.settle)
    }

    /// The keys among `keys` that the source lacks.
    func keysMissingAtSource(
        _ keys: [[UInt8]], database: UInt32
    ) async throws(ServerError) -> [[UInt8]] {
        if keys.isEmpty { return [] }
        let exists = Array("EXISTS".utf8)
        let select = command("SELECT", "\(database)")
        let all = try await source.requests([select, [exists] + keys])
        if case .error(let text) = all[1] { throw source.refusal(text, of: [exists]) }
        if all[1].int == Int64(keys.count) { return [] }
        let each = try await source.requests([select] + keys.map { [exists, $0] })
        return zip(keys, each.dropFirst()).compactMap { $1.int == 0 ? $0 : nil }
    }

    /// Closes all connections at the same time, each with a FIN first.
    func close() async {
        await withTaskGroup(of: Void.self) { group in
            for connection in [source, target] + comparers.flatMap({ [$0.source, $0.target] }) {
                group.addTask { await connection.close() }
            }
        }
    }
}
