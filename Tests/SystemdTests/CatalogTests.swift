import Foundation
import Testing

@testable import Systemd

struct CatalogTests {
    /// An entry of the journal's catalog.
    private struct Entry {
        var id: String
        var headers: [String: String] = [:]
        var body: [String] = []
    }

    private func entries() throws -> [Entry] {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let text = try String(contentsOf: root.appending(path: "systemd/df2redis.catalog"), encoding: .utf8)
        var entries: [Entry] = []
        var isInHead = false
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("#") { continue }
            if line.hasPrefix("-- ") {
                entries.append(Entry(id: String(line.dropFirst(3))))
                isInHead = true
            } else if entries.isEmpty {
                #expect(line.isEmpty, "text before the first entry")
            } else if isInHead, line.isEmpty {
                isInHead = false
            } else if isInHead {
                let parts = line.split(separator: ":", maxSplits: 1)
                try #require(parts.count == 2, "a header without a colon: \(line)")
                entries[entries.count - 1].headers[String(parts[0])] = parts[1].trimmingCharacters(in: .whitespaces)
            } else {
                entries[entries.count - 1].body.append(String(line))
            }
        }
        return entries
    }

    @Test func `every event has a catalog entry, and every entry an event`() throws {
        #expect(Set(try entries().map(\.id)) == Set(EventID.allCases.map(\.messageID)))
        #expect(try entries().count == EventID.allCases.count)
    }

    @Test func `a catalog entry has a subject, its origin and a body no wider than a terminal`() throws {
        for entry in try entries() {
            #expect(entry.headers["Subject"]?.isEmpty == false, "\(entry.id)")
            #expect(entry.headers["Defined-By"] == "df2redis", "\(entry.id)")
            #expect(entry.headers["Documentation"] == "man:df2redis(1)", "\(entry.id)")
            #expect(entry.body.joined(separator: " ").count > 80, "\(entry.id)")
            #expect(
                entry.body.allSatisfy { $0.count <= 76 },
                "\(entry.id) is wider than a terminal behind journalctl's '-- '")
        }
    }

    @Test func `a catalog entry uses only fields that systemd fills in`() throws {
        for entry in try entries() {
            let text = ([entry.headers["Subject"] ?? ""] + entry.body).joined(separator: "\n")
            for match in text.matches(of: /@([A-Za-z0-9_]+)@/) {
                // systemd replaces names of letters and underscores only, so not DF2REDIS_TASK, which has a digit.
                #expect(match.1.wholeMatch(of: /[A-Z_]+/) != nil, "\(entry.id) names \(match.1)")
                #expect(match.1 == "_SYSTEMD_UNIT", "\(entry.id) names \(match.1), which not every record has")
            }
        }
    }

    @Test func `an event's id is unique, and has 128 bits in lower-case hexadecimal`() {
        for event in EventID.allCases {
            #expect(event.messageID.count == 32)
            #expect(event.messageID.allSatisfy { "0123456789abcdef".contains($0) })
        }
        #expect(Set(EventID.allCases.map(\.messageID)).count == EventID.allCases.count)
    }
}
