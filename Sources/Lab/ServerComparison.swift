/// A comparison of two servers key by key, in batches: neither data set is in memory as a whole.
///
/// A key that is written meanwhile may be reported as a difference; compare when the writing is over.
package struct ServerComparison {
    /// The number of keys of the source that were compared.
    package private(set) var keyCount = 0
    /// The keys that differ, in the order of databases and keys, up to the requested limit.
    package private(set) var differences: [Difference] = []
    /// The number of all keys that differ, including those above the limit.
    package private(set) var differenceCount = 0

    /// df2redis's own keys in the target, which do not count as differences.
    package private(set) var ownKeys: Set<[UInt8]> = []

    package var isEqual: Bool { differenceCount == 0 }

    /// `ownKeys` without the marks on a cluster's masters, which exist as long as the task's position does.
    package var ownKeysBesidesNodeMarks: Set<String> {
        Set(ownKeys.map { String(decoding: $0, as: UTF8.self) }).filter { !$0.contains("df2redis:node:") }
    }

    /// Compares what `target` holds with what `source` holds.
    ///
    /// - Parameter limit: the number of differences to keep.
    package init(source: RESPClient, target: RESPClient, limit: Int = 1000) throws {
        try self.init(source: DataReader(source), target: DataReader(target), limit: limit)
    }

    /// Compares a cluster, over all its nodes, with what `source` holds; a key on a node that does not serve it is an error.
    package init(source: RESPClient, target: RedisCluster, limit: Int = 1000) throws {
        let reader = try ClusterReader(target)
        try self.init(source: DataReader(source), target: reader, limit: limit)
        if let stray = reader.strays.first {
            throw LabError(
                "\(reader.strays.count) keys are on nodes that do not serve them, such as "
                    + "\(DataNode.bytes(stray.key).excerpt) on \(stray.address)")
        }
    }

    package init(
        source sourceReader: any ComparedServer, target targetReader: any ComparedServer, limit: Int = 1000
    ) throws {
        for database in Set(try sourceReader.databases()).union(try targetReader.databases()).sorted() {
            try sourceReader.select(database)
            try targetReader.select(database)
            // SCAN may name a key twice.
            var seen = Set<[UInt8]>()
            try sourceReader.scan { batch in
                // The source may also be the target of another task.
                let keys = batch.filter { !ServerData.isOwn($0) && seen.insert($0).inserted }
                keyCount += keys.count
                let pairs = zip(try sourceReader.read(keys), try targetReader.read(keys))
                for (key, (expected, actual)) in zip(keys, pairs) { note(database, key, expected, actual, limit) }
            }
            try targetReader.scan { batch in
                ownKeys.formUnion(batch.filter(ServerData.isOwn))
                let keys = batch.filter { !ServerData.isOwn($0) && seen.insert($0).inserted }
                let pairs = zip(try sourceReader.read(keys), try targetReader.read(keys))
                for (key, (expected, actual)) in zip(keys, pairs) { note(database, key, expected, actual, limit) }
            }
        }
        try sourceReader.select(0)
        try targetReader.select(0)
        differences.sort()
    }

    private mutating func note(
        _ database: Int, _ key: [UInt8], _ expected: ServerData.Entry?, _ actual: ServerData.Entry?, _ limit: Int
    ) {
        guard let kind = Difference.Kind(expected, actual) else { return }
        differenceCount += 1
        if differences.count < limit { differences.append(Difference(database: database, key: key, kind: kind)) }
    }
}
