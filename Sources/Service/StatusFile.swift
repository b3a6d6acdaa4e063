import Base
import Dashboard
import Link

/// The task's state as JSON, for other programs: replaced as a whole, so a reader never sees half of it.
struct StatusFile: Sendable {
    let path: String

    func write(_ report: TaskReport) throws(SystemError) {
        // Not durable: after a crash of the machine an old status is of no use.
        try AtomicFile(path: path).write(Array(StatusDocument(report).json.utf8), isDurable: false)
    }
}
