import Replication

/// The source of the keys for `df2redis refresh`: the command line, a file, or standard input.
///
/// Each line of a file is recognised on its own: as a line of `*.dead-letters.jsonl`, as a line from `df2redis check`, or
/// else as the plain key. The file is read block by block.
package struct KeySource: Sendable {
    private let keys: [RefreshKey]
    private let path: String?
    private let database: UInt32

    /// - Parameters:
    ///   - path: the path of a file; `-` for standard input; `nil` for none.
    ///   - database: the database of keys that come without one.
    package init(keys: [String], path: String?, database: UInt32) {
        self.keys = keys.map { RefreshKey(database: database, key: Array($0.utf8)) }
        self.path = path
        self.database = database
    }

    enum Entry: Equatable {
        case key(RefreshKey)
        case unreadable
    }

    /// Iterates over the keys.
    struct Keys {
        private var keys: ArraySlice<RefreshKey>
        private var lines: LineReader?
        private let database: UInt32

        fileprivate init(keys: [RefreshKey], lines: LineReader?, database: UInt32) {
            (self.keys, self.lines, self.database) = (keys[...], lines, database)
        }

        /// - Throws: `OperatorRequestFailure`
        mutating func next() throws(OperatorRequestFailure) -> Entry? {
            if let key = keys.popFirst() { return .key(key) }
            while let line = try lines?.next() {
                if let entry = KeyLine.entry(line, database: database) { return entry }
            }
            return nil
        }
    }

    /// - Throws: `OperatorRequestFailure`
    func open() throws(OperatorRequestFailure) -> Keys {
        let lines = try path.map { path throws(OperatorRequestFailure) in try LineReader(path) }
        return Keys(keys: keys, lines: lines, database: database)
    }
}
