import Redis

/// Looks now and then whether the target still holds the task's checkpoint.
///
/// Somebody else may empty the target, which breaks no connection: flows that go on writing would only note their positions
/// anew, over data that are gone. It has a connection of its own, since a look waits as long as the target does.
actor CheckpointWatch {
    private let control: TargetControl
    private let key: CheckpointKey
    private var isLooking = false

    init(connector: TargetConnector, key: CheckpointKey) {
        control = TargetControl(connector: connector, role: "watch")
        self.key = key
    }

    /// - Returns: `false` also when the target does not answer: the flows notice that by themselves.
    func findsItGone() async -> Bool {
        guard !isLooking else { return false }
        isLooking = true
        defer { isLooking = false }
        guard let fields = try? await control.hash(key.name) else { return false }
        return TaskRecord(fields).databases == nil
    }

    func close() async { await control.close() }
}
