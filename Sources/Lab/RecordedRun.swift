import Foundation

/// A recorded run of a real master: the bytes of its flows and the data set it held at the end.
///
/// `Tests/IntegrationTests/Recordings/README.md` describes the files of its folder.
package struct RecordedRun: Sendable {
    /// The path below the folder of recordings, such as `v1.40.1/big`.
    package let name: String
    private let path: String

    package init(_ name: String, in recordings: String) {
        self.name = name
        path = "\(recordings)/\(name)"
    }

    /// Every recording below the folder `recordings`, by name.
    package static func all(in recordings: String) throws -> [RecordedRun] {
        let contents = try FileManager.default.subpathsOfDirectory(atPath: recordings)
        return contents.filter { $0.hasSuffix("/handshake.json") }
            .map { RecordedRun(String($0.dropLast("/handshake.json".count)), in: recordings) }
            .sorted { $0.name < $1.name }
    }

    /// A recording that is ready to be replayed, with joined files and with near deadlines moved into the future.
    package struct Replay {
        package let folder: TemporaryFolder
        package let expected: ExpectedData
    }

    /// Copies the recording into its own folder, ready to be replayed.
    ///
    /// Deadlines shortly after the recording have passed by now, and keys that have expired cannot be compared. These
    /// deadlines are moved by the same time in the streams, where each one has 13 decimal digits, and in the expected data.
    package func prepareReplay() throws -> Replay {
        let folder = try TemporaryFolder("replay")
        var files = try wholeFiles()
        guard let json = files["expected.json"] else { throw LabError("\(path) has no expected.json") }
        var expected = try ExpectedData(json: json)
        for deadline in expected.deadlines where deadline < Self.horizon {
            let (old, new) = ("\(deadline)", "\(Self.moved(deadline))")
            for name in files.keys where name.hasSuffix(".stable") {
                files[name]?.replaceAll(Array(old.utf8), with: Array(new.utf8))
            }
        }
        expected.moveDeadlines { $0 < Self.horizon ? Self.moved($0) : $0 }
        for (name, contents) in files {
            try Data(contents).write(to: URL(fileURLWithPath: folder.file(name)))
        }
        return Replay(folder: folder, expected: expected)
    }

    /// Deadlines before 2033 are moved.
    private static let horizon = 2_000_000_000_000

    /// Returns the deadline nine and a half years later, which still has 13 digits.
    private static func moved(_ deadline: Int) -> Int { deadline + 300_000_000_000 }

    /// Returns the recording's files by name; files that are stored in parts are joined.
    private func wholeFiles() throws -> [String: [UInt8]] {
        var files: [String: [UInt8]] = [:]
        for name in try FileManager.default.contentsOfDirectory(atPath: path).sorted() {
            guard let contents = FileManager.default.contents(atPath: "\(path)/\(name)") else { continue }
            let whole = name.range(of: #"\.part\d$"#, options: .regularExpression).map {
                String(name[..<$0.lowerBound])
            }
            files[whole ?? name, default: []] += contents
        }
        return files
    }
}

extension [UInt8] {
    /// Replaces each occurrence of `old` with `new`, which has the same length.
    fileprivate mutating func replaceAll(_ old: [UInt8], with new: [UInt8]) {
        precondition(old.count == new.count, "the bytes around a replacement keep their places")
        var data = Data(self)
        var rest = data.startIndex..<data.endIndex
        while let found = data.range(of: Data(old), in: rest) {
            data.replaceSubrange(found, with: new)
            rest = found.upperBound..<data.endIndex
        }
        self = Array(data)
    }
}
