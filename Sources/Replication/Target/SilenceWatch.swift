import Link
import Redis

/// Notices a target that owes an answer and gives no sign of life: reported once, and once when it is heard of again.
///
/// The connection is not given up: what the target has received it may still execute, later than what another connection
/// brings.
struct SilenceWatch {
    enum Change { case silent, heard }

    private let limit: Duration
    private var isSilent = false

    init(limit: Duration) { self.limit = limit }

    mutating func update(_ silence: Duration) -> Change? {
        guard (silence >= limit) != isSilent else { return nil }
        isSilent.toggle()
        return isSilent ? .silent : .heard
    }
}
