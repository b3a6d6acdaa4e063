final class LiveStore {
    init(shardCount: Int) {}
    var keyCounts: [(Int, Int)] { [] }
    var hasExpiries: Bool { false }
    func fill(_ dataSet: SyntheticDataSet) {}
}
final class LiveSnapshot: SnapshotSource {
    init(store: LiveStore, shard: Int, header: [UInt8], end: [UInt8], options: MasterOptions) {}
    var hasEnded: Bool { true }
    func next() -> [UInt8]? { nil }
    func write(record: [UInt8], keys: [DatabaseKey]) {}
    func tail(offset: UInt64, token: String) -> [[UInt8]] { [] }
}
final class LoadGenerator { func run(_ core: MasterCore) {} }
extension MasterCore {
    func expireKeys() {}
    func executeCommand(_ request: Request, _ connection: Connection) -> Reply { ErrorText.unknown(request.name) }
    func executeOnStore(_ request: Request, database: Int) -> Reply { ErrorText.unknown(request.name) }
}
extension SimulatedMaster { package func generateLoad(writesPerSecond: Int, seed: UInt64) {} }
