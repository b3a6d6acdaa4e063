import Base

/// Something at the source that an operator should know of.
struct Alert: Equatable, Sendable {
    /// What it is about; the same until it is cleared: `unanswered`, `log`, `replica <name>`.
    let name: String
    let message: String
}

/// Which alerts are raised: each is reported once when it comes up, and once when it is over. Pure.
struct AlertBook {
    enum Change: Equatable, Sendable {
        case raised(Alert)
        /// With the words that it was raised with.
        case cleared(Alert)

        var alert: Alert {
            switch self {
            case .raised(let alert), .cleared(let alert): alert
            }
        }

        var state: String {
            switch self {
            case .raised: "raised"
            case .cleared: "cleared"
            }
        }
    }

    private(set) var raised: [Alert] = []

    /// - Parameter found: all that is wrong now.
    /// - Returns: what has changed, in order of the names.
    mutating func update(_ found: [Alert]) -> [Change] {
        let known = Set(raised.map(\.name))
        let present = Set(found.map(\.name))
        let new = found.filter { !known.contains($0.name) }
        let over = raised.filter { !present.contains($0.name) }
        raised = raised.filter { present.contains($0.name) } + new
        return (new.map { .raised($0) } + over.map { .cleared($0) }).sorted { $0.alert.name < $1.alert.name }
    }
}

/// Notices replicas of the source whose sessions hang. Pure.
struct ReplicaWatch {
    /// A replica as INFO replication shows it.
    struct Replica: Equatable {
        var name: String
        /// `preparation`, `full_sync`, `online` (Protocol 2.10).
        var state: String
        /// Records that it has not acknowledged.
        var lag: UInt64

        /// The lines `slave<n>:ip=<name>,port=0,state=online,lag=0`.
        static func all(inInfo text: String) -> [Replica] {
            text.split(whereSeparator: \.isNewline).compactMap { line in
                guard line.hasPrefix("slave"), let colon = line.firstIndex(of: ":") else { return nil }
                var fields: [Substring: Substring] = [:]
                for field in line[line.index(after: colon)...].split(separator: ",") {
                    let parts = field.split(separator: "=", maxSplits: 1)
                    if parts.count == 2 { fields[parts[0]] = parts[1] }
                }
                guard let address = fields["ip"], let state = fields["state"] else { return nil }
                let port = fields["port"].flatMap { $0 == "0" ? nil : ":\($0)" } ?? ""
                return Replica(
                    name: address + port, state: String(state), lag: fields["lag"].flatMap { UInt64($0) } ?? 0)
            }
        }
    }

    private struct Sighting {
        var state: String
        /// The lowest lag in this state.
        var lag: UInt64
        var since: ContinuousClock.Instant
    }

    private let limit: Duration
    private var sightings: [String: Sighting] = [:]

    init(limit: Duration) { self.limit = limit }

    /// - Parameter replicas: those of now.
    mutating func alerts(_ replicas: [Replica], at now: ContinuousClock.Instant) -> [Alert] {
        sightings = sightings.filter { name, _ in replicas.contains { $0.name == name } }
        return replicas.compactMap { replica in
            let earlier = sightings[replica.name]
            let moves =
                earlier?.state != replica.state
                || replica.state == "online" && (replica.lag == 0 || replica.lag < earlier?.lag ?? 0)
            guard let earlier, !moves else {
                sightings[replica.name] = Sighting(state: replica.state, lag: replica.lag, since: now)
                return nil
            }
            guard earlier.since.duration(to: now) >= limit else { return nil }
            let what =
                replica.state == "online"
                ? "has not acknowledged \(replica.lag) records" : "has been in the state \(replica.state)"
            return Alert(
                name: "replica \(replica.name)",
                message:
                    "the replica \(replica.name) \(what) for \(earlier.since.duration(to: now).components.seconds) s: its session hangs"
            )
        }
    }
}

/// Whether the source's log has had one of the words lately. Pure.
struct LogPatterns {
    private let patterns: [String]
    private let quiet: Duration
    private var last: (line: String, time: ContinuousClock.Instant)?

    init(_ patterns: [String], quiet: Duration) {
        self.patterns = patterns
        self.quiet = quiet
    }

    mutating func alert(_ lines: [String], at now: ContinuousClock.Instant) -> Alert? {
        if let line = lines.last(where: { line in patterns.contains { line.contains($0) } }) { last = (line, now) }
        guard let last, last.time.duration(to: now) < quiet else { return nil }
        return Alert(name: "log", message: "the source's log says: \(last.line.prefix(500))")
    }
}
