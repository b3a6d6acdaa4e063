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

    /// - Parameter replicas: the replicas that the source has now.
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
