import Foundation

/// One run of a real master: what it sent to each flow, and what it held at the end.
struct Recording: CustomStringConvertible {
    let name: String

    var description: String { name }

    private static let folder = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("IntegrationTests/Recordings")

    /// All recordings of the integration tests.
    static let all: [Recording] = {
        func folders(_ path: String) -> [String] {
            let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path + path)) ?? []
            return names.sorted().filter { !$0.contains(".md") }.map { path + "/" + $0 }
        }
        return folders("").flatMap { $0 == "/v1.40.1" ? folders($0) : [$0] }.map { Recording(name: $0) }
    }()

    /// A file, assembled if it is stored in parts.
    func file(_ name: String) -> [UInt8]? {
        let path = Self.folder.path + self.name + "/" + name
        if let data = FileManager.default.contents(atPath: path) { return Array(data) }
        var parts: [Data] = []
        while let part = FileManager.default.contents(atPath: "\(path).part\(parts.count)") { parts.append(part) }
        return parts.isEmpty ? nil : parts.flatMap { Array($0) }
    }

    /// The flows: all bytes of each, and the token within them.
    func flows() -> [(bytes: [UInt8], token: [UInt8])] {
        var flows: [(bytes: [UInt8], token: [UInt8])] = []
        while let snapshot = file("flow-\(flows.count).full") {
            flows.append((snapshot + (file("flow-\(flows.count).stable") ?? []), Array(snapshot.suffix(40))))
        }
        return flows
    }

    /// A key as `expected.json` describes it.
    struct ExpectedKey {
        var type: String
        var value: Any?
        /// The SHA-256 of the value's JSON if the value is long.
        var digest: String?
        var expiryMilliseconds: Int64?
    }

    /// The data set of the master, by database and by the key's bytes.
    func expected() throws -> [UInt32: [[UInt8]: ExpectedKey]] {
        let data = try JSONSerialization.jsonObject(with: Data(file("expected.json") ?? []))
        var databases: [UInt32: [[UInt8]: ExpectedKey]] = [:]
        for (database, keys) in data as! [String: [String: [String: Any]]] {
            for (key, entry) in keys {
                let expiry = (entry["expire_at_ms"] as! NSNumber).int64Value
                databases[UInt32(database)!, default: [:]][key.latin1] = ExpectedKey(
                    type: entry["type"] as! String, value: entry["value"], digest: entry["sha256"] as? String,
                    expiryMilliseconds: expiry == -1 ? nil : expiry)
            }
        }
        return databases
    }
}

extension String {
    /// The bytes of a text whose characters are all below 256.
    var latin1: [UInt8] { unicodeScalars.map { UInt8($0.value) } }
}
