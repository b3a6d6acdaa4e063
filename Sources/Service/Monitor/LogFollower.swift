import Glibc
import Link

/// Reads the new lines of the source's log, from a file or from a unit in the journal.
///
/// A call of `lines()` never blocks. A file that was replaced or truncated is read from its beginning; a missing file is
/// tried again with each call. Only one owner uses a follower.
struct LogFollower {
    private enum Place {
        case file(String)
        case unit(String)
    }

    /// The most that one call reads; a file's further new content is skipped.
    private static let limit = 1 << 20
    private static let longestLine = 16 << 10

    /// The prefix of a unit's name.
    static let journalPrefix = "journal:"

    private let place: Place
    private var descriptor: Int32 = -1
    private var file: (device: dev_t, inode: ino_t)?
    private var isFirst = true
    private var rest: [UInt8] = []
    private var journal: ChildProgram?

    /// - Parameter place: a path, or `journal:<unit>`.
    init(_ place: String) {
        let prefix = Self.journalPrefix
        self.place = place.hasPrefix(prefix) ? .unit(String(place.dropFirst(prefix.count))) : .file(place)
    }

    /// - Throws: `SystemError`
    mutating func lines() throws(SystemError) -> [String] {
        switch place {
        case .file(let path): try follow(path)
        case .unit(let unit): try follow(unit: unit)
        }
        guard descriptor >= 0 else { return [] }
        var bytes = rest
        var piece = [UInt8](repeating: 0, count: 64 << 10)
        while bytes.count < Self.limit {
            let count = read(descriptor, &piece, piece.count)
            if count <= 0 { break }
            bytes += piece[..<count]
        }
        if bytes.count >= Self.limit, case .file = place { lseek(descriptor, 0, SEEK_END) }
        let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        rest = Array((lines.last ?? []).prefix(Self.longestLine))
        return lines.dropLast().map { String(decoding: $0.prefix(Self.longestLine), as: UTF8.self) }
    }

    // MARK: A file

    private mutating func follow(_ path: String) throws(SystemError) {
        var now = stat()
        guard stat(path, &now) == 0 else {
            let code = errno
            close()
            isFirst = false
            throw SystemError("stat", errno: code, peer: path)
        }
        if now.st_mode & S_IFMT == S_IFDIR {
            close()
            throw SystemError("open", errno: EISDIR, peer: path)
        }
        if descriptor >= 0, let file, file.device == now.st_dev, file.inode == now.st_ino {
            // The file was truncated: copytruncate of logrotate.
            if lseek(descriptor, 0, SEEK_CUR) > now.st_size { lseek(descriptor, 0, SEEK_SET) }
            return
        }
        close()
        descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw SystemError("open", errno: errno, peer: path) }
        file = (now.st_dev, now.st_ino)
        // Lines from before the monitor began are not reported.
        if isFirst { lseek(descriptor, 0, SEEK_END) }
        isFirst = false
    }

    // MARK: The journal

    private mutating func follow(unit: String) throws(SystemError) {
        if journal?.hasEnded() == false { return }
        close()
        let words = ["journalctl", "--follow", "--lines=0", "--output=cat", "--quiet", "--unit", unit]
        let program = try ChildProgram(words, readsOutput: true)
        descriptor = program.output
        journal = program
    }

    /// Closes the file, or ends `journalctl`.
    mutating func close() {
        if let journal { journal.end() } else if descriptor >= 0 { Glibc.close(descriptor) }
        (descriptor, journal, file, rest) = (-1, nil, nil, [])
    }
}
