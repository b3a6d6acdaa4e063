import Link
import Redis

/// Notices a target that owes an answer and gives no sign of life. It reports this once, and once more when the target is
/// heard again.
///
/// The connection is not given up: the target may still execute what it has received, later than anything that another
/// connection brings.
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
