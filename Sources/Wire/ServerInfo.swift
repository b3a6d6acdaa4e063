/// The reply to `INFO`: lines `name:value`, under headings that begin with `#`. Dragonfly, Redis and Valkey answer alike.
package struct ServerInfo: Equatable, Sendable {
    package private(set) var fields: [String: String] = [:]

    /// - Parameter text: the text of the reply; `nil` if the reply is not a text, which gives no fields.
    package init(_ text: String?) {
        for line in (text ?? "").split(whereSeparator: \.isNewline) where !line.hasPrefix("#") {
            guard let colon = line.firstIndex(of: ":") else { continue }
            fields[String(line[..<colon])] = String(line[line.index(after: colon)...])
        }
    }

    package subscript(name: String) -> String? { fields[name] }

    /// The number of keys by database, from the section `keyspace`: `db0:keys=5,expires=1,...`. A database without keys has
    /// no line.
    package var keyCounts: [UInt32: Int] { keyspace("keys") }

    /// The number of keys with a TTL in all databases.
    package var expiringKeys: Int { keyspace("expires").values.reduce(0, +) }

    /// A figure of each database in the section `keyspace`.
    private func keyspace(_ figure: String) -> [UInt32: Int] {
        var counts: [UInt32: Int] = [:]
        for (name, value) in fields {
            guard name.hasPrefix("db"), let database = UInt32(name.dropFirst(2)),
                let text = value.split(separator: ",").first(where: { $0.hasPrefix("\(figure)=") })
            else { continue }
            counts[database] = Int(text.dropFirst(figure.utf8.count + 1))
        }
        return counts
    }
}
