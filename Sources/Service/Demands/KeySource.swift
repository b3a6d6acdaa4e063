import Replication

/// Where the keys for `df2redis refresh` come from: the command line, a file, or standard input.
///
/// A line of a file is recognised by itself: a line of `*.dead-letters.jsonl`, one that `df2redis check` has written, or else
/// the key as it is. Of a file one block is in memory.
package struct KeySource: Sendable {
    private let keys: [RefreshKey]
    private let path: String?
    private let database: UInt32

    /// - Parameters:
    ///   - path: of a file; `-`: standard input; `nil`: none.
    ///   - database: of keys that come without one.
    package init(keys: [String], path: String?, database: UInt32) {
        self.keys = keys.map { RefreshKey(database: database, key: Array($0.utf8)) }
        self.path = path
        self.database = database
    }

    enum Entry: Equatable {
        case key(RefreshKey)
        case unreadable
    }

    /// The keys one after the other.
    struct Keys {
        private var keys: ArraySlice<RefreshKey>
        private var lines: LineReader?
        private let database: UInt32

        fileprivate init(keys: [RefreshKey], lines: LineReader?, database: UInt32) {
            (self.keys, self.lines, self.database) = (keys[...], lines, database)
        }

        /// - Throws: `DemandFailure`
        mutating func next() throws(DemandFailure) -> Entry? {
            if let key = keys.popFirst() { return .key(key) }
            while let line = try lines?.next() {
                if let entry = KeyLine.entry(line, database: database) { return entry }
            }
            return nil
        }
    }

    /// - Throws: `DemandFailure`
    func open() throws(DemandFailure) -> Keys {
        Keys(keys: keys, lines: try path.map { path throws(DemandFailure) in try LineReader(path) }, database: database)
    }
}
