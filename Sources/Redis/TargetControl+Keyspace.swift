import Wire

/// What the target says of its own keys.
package struct KeyspaceFigures: Equatable, Sendable {
    /// Keys by database, of whatever kind.
    package var keys: [UInt32: Int] = [:]
    /// Keys and hash fields that it has expired, and keys that it has evicted, since its start.
    package var losses = 0
    package var runID = ""
}

extension TargetControl {
    /// - Throws: `TargetError`.
    package func keyspaceFigures() async throws(TargetError) -> KeyspaceFigures {
        var figures = KeyspaceFigures()
        for (name, value) in try await info("server") where name == "run_id" { figures.runID = String(value) }
        for (name, value) in try await info("stats") {
            switch name {
            case "expired_keys", "evicted_keys", "expired_subkeys", "expired_fields": figures.losses += Int(value) ?? 0
            default: break
            }
        }
        for (name, value) in try await info("keyspace") {
            guard name.hasPrefix("db"), let database = UInt32(name.dropFirst(2)),
                let keys = value.split(separator: ",").first(where: { $0.hasPrefix("keys=") })
            else { continue }
            figures.keys[database] = Int(keys.dropFirst(5))
        }
        return figures
    }

    private func info(_ section: String) async throws(TargetError) -> [(name: Substring, value: Substring)] {
        let text = try await demand(["INFO", section]).text ?? ""
        return text.split(whereSeparator: \.isNewline).compactMap { line in
            guard let colon = line.firstIndex(of: ":") else { return nil }
            return (line[..<colon], line[line.index(after: colon)...])
        }
    }
}
