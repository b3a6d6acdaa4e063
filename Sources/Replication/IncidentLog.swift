package import Dragonfly
import Glibc
import Link
package import Logging
import Redis
import Synchronization
import Wire

/// Records what could not be replicated: counts it by kind, logs it with its key, and keeps it in the dead-letter file.
///
/// Values never appear. The log shows the first incident of a kind, then every one whose number is a power of two. The file
/// has one entry per key and kind, as far as keys are remembered, and its size is bounded; the counters continue.
package final class IncidentLog: Sendable {
    package struct Incident: Sendable {
        package enum Severity: Sendable {
            /// Something is missing in the target.
            case missing
            /// Requests that a key is read, because it may differ from the source's.
            case diverging
            /// The key or command does not belong to the source's data, and is not wanted in the target.
            case leftOut
        }

        package var severity: Severity
        package var kind: IncidentKind
        package var flow: FlowID
        package var database: UInt32
        /// Printable and in quotes.
        package var key: String
        package var reason: String
        /// The name of the command or the type of the value.
        package var subject: String

        package init(
            severity: Severity, kind: IncidentKind, flow: FlowID, database: UInt32, key: String, reason: String,
            subject: String
        ) {
            self.severity = severity
            self.kind = kind
            self.flow = flow
            self.database = database
            self.key = key
            self.reason = reason
            self.subject = subject
        }
    }

    /// An incident and its time in seconds of Unix time.
    package struct Recent: Sendable {
        package var time: Int64
        package var incident: Incident
    }

    private let logger: Logger
    private let path: String?
    private let latest = Lock<[Recent]>([])
    private static let keptIncidents = 50
    private let counts = Lock<[IncidentKind: Int]>([:])
    /// Keys that the file already names, as far as they are remembered.
    private let namedKeys = Lock<Set<String>>([])
    private let reportedOnce = Lock<Set<String>>([])
    private static let rememberedKeys = 100_000
    /// Kinds that occur by the thousand and concern no data.
    private static let countedOnly: Set<IncidentKind> = [.init(.throttle), .init(.strayCopy)]
    private let file = Lock((descriptor: Int32(-1), size: 0))
    private let maxFileBytes: Int
    private let isFileFull = Atomic<Bool>(false)
    private let hasFileFailed = Atomic<Bool>(false)

    /// - Parameters:
    ///   - path: the path of the dead-letter file, which is created with the first entry; `nil` for no file.
    ///   - maxFileBytes: the size at which nothing more is added to the file.
    package init(logger: Logger, path: String?, maxFileBytes: Int = 64 << 20) {
        self.logger = logger
        self.path = path
        self.maxFileBytes = maxFileBytes
    }

    deinit { file.withLock { if $0.descriptor >= 0 { close($0.descriptor) } } }

    /// The number of incidents of keys that may differ from the source until they are read there.
    var divergences: Int {
        let kinds = Set(Divergence.allCases.map(\.rawValue))
        return totals.filter { kinds.contains($0.key) }.values.reduce(0, +)
    }

    /// The number of incidents by kind.
    package var totals: [String: Int] {
        let counts = counts.withLock { $0 }
        return [String: Int](uniqueKeysWithValues: counts.map { ($0.key.description, $0.value) })
    }

    /// The number of commands that the target refused.
    var refusedByTarget: Int {
        counts.withLock { $0[.init(.targetError), default: 0] + $0[.init(.overLimit), default: 0] }
    }

    /// The last incidents with a key, oldest first; one per key and kind.
    package var recent: [Recent] { latest.withLock { $0 } }

    /// Records `incident` unless an incident of its kind was already recorded for its key, as far as keys are remembered.
    func recordOnce(_ incident: Incident) {
        if namedKeys.withLock({ !$0.contains(Self.name(incident)) }) { record(incident) }
    }

    package func record(_ incident: Incident) {
        let count = counts.withLock { counts in
            counts[incident.kind, default: 0] += 1
            return counts[incident.kind, default: 0]
        }
        if count & (count - 1) == 0 {
            let repeated = count > 1 ? " (number \(count) of this kind)" : ""
            var metadata: Logger.Metadata = ["flow": "\(incident.flow)", "kind": "\(incident.kind)"]
            if incident.severity != .leftOut { metadata["event"] = "divergence" }
            logger.log(
                level: incident.severity == .leftOut ? .notice : .warning,
                "\(incident.subject) \(incident.key) in database \(incident.database) \(incident.severity.verb): \(incident.reason)\(repeated)",
                metadata: metadata)
        }
        guard !Self.countedOnly.contains(incident.kind), isNew(incident) else { return }
        latest.withLock { latest in
            if latest.count == Self.keptIncidents { latest.removeFirst() }
            latest.append(Recent(time: Int64(time(nil)), incident: incident))
        }
        append(incident)
    }

    /// Counts `number` incidents that have no key. Logs the first of a kind, then whenever the total passes a power of two.
    ///
    /// - Parameter text: creates the log text from the total of the kind.
    func record(
        _ number: Int, ofKind kind: IncidentKind.Other, level: Logger.Level = .warning, _ text: (_ total: Int) -> String
    ) {
        guard number > 0 else { return }
        let kind = IncidentKind(kind)
        let total = counts.withLock { counts in
            counts[kind, default: 0] += number
            return counts[kind, default: 0]
        }
        guard total.leadingZeroBitCount < (total - number).leadingZeroBitCount else { return }
        var metadata: Logger.Metadata = ["kind": "\(kind)"]
        if level > .notice { metadata["event"] = "divergence" }
        logger.log(level: level, "\(text(total))", metadata: metadata)
    }

    /// Logs `text` unless it has been reported before.
    func reportOnce(_ text: String, level: Logger.Level = .notice) {
        if reportedOnce.withLock({ $0.insert(text).inserted }) { logger.log(level: level, "\(text)") }
    }

    private func isNew(_ incident: Incident) -> Bool {
        namedKeys.withLock { keys in
            if keys.count >= Self.rememberedKeys { keys = [] }
            return keys.insert(Self.name(incident)).inserted
        }
    }

    private static func name(_ incident: Incident) -> String {
        "\(incident.kind) \(incident.database) \(incident.key)"
    }

    private func append(_ incident: Incident) {
        guard let path, !isFileFull.load(ordering: .relaxed) else { return }
        let line =
            "{\"time\":\(time(nil)),\"kind\":\"\(incident.kind)\",\"flow\":\(incident.flow),\"database\":\(incident.database),"
            + "\"subject\":\(JSONText.quoted(incident.subject)),\"key\":\(JSONText.quoted(incident.key)),\"reason\":\(JSONText.quoted(incident.reason))}\n"
        let failure: Int32? = file.withLock { file in
            if file.descriptor < 0 {
                let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o640)
                guard descriptor >= 0 else { return errno }
                file = (descriptor, max(Int(lseek(descriptor, 0, SEEK_END)), 0))
            }
            var bytes = line.bytes
            let count = bytes.count
            guard file.size + count <= maxFileBytes else {
                isFileFull.store(true, ordering: .relaxed)
                return EFBIG
            }
            let written = retryingInterrupts { write(file.descriptor, &bytes, count) }
            guard written < count else {
                file.size += count
                return nil
            }
            let code = written < 0 ? errno : ENOSPC
            // A partial line would spoil the next one.
            if written > 0 { _ = ftruncate(file.descriptor, off_t(file.size)) }
            return code
        }
        if failure == EFBIG {
            return logger.error(
                "the dead-letter file \(path) has its \(maxFileBytes) bytes: further entries are only counted and logged, until the file is moved away and the task restarted"
            )
        }
        // Logs the failure once, until the file can be written again.
        guard let failure else { return hasFileFailed.store(false, ordering: .relaxed) }
        if !hasFileFailed.exchange(true, ordering: .relaxed) {
            logger.error("the dead-letter file cannot be written: \(SystemError("write", errno: failure, peer: path))")
        }
    }
}

extension IncidentLog.Incident.Severity {
    fileprivate var verb: String {
        switch self {
        case .missing: "not replicated"
        case .diverging: "may differ from the source"
        case .leftOut: "left out"
        }
    }
}
