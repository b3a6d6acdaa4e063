import Glibc

/// Reads small files of text: configurations, passwords.
enum TextFile {
    /// Why a file could not be read, in words for an operator.
    struct Failure: Error, Equatable {
        let reason: String
        /// Whether the reason is that there is no such file.
        var isMissing = false
        /// Whether the reason is that this user may not read it.
        var isForbidden = false
    }

    /// Returns the whole text of a file.
    ///
    /// - Throws: `Failure` when it cannot be opened or read, is longer than `limit` bytes or is no UTF-8.
    static func read(_ path: String, limit: Int = 1 << 20) throws(Failure) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Failure(errno: errno) }
        defer { close(descriptor) }

        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16 << 10)
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw Failure(errno: errno) }
            if count == 0 { break }
            bytes += chunk[..<count]
            guard bytes.count <= limit else { throw Failure(reason: "it is longer than \(limit) bytes") }
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw Failure(reason: "it is not UTF-8 text")
        }
        return text
    }
}

extension TextFile.Failure {
    init(errno code: Int32) {
        self.init(reason: String(cString: strerror(code)), isMissing: code == ENOENT, isForbidden: code == EACCES)
    }

    /// - Parameters:
    ///   - what: such as "cannot read /etc/f", the beginning of the sentence.
    ///   - isClosed: whether this process may not enter a folder.
    func text(
        _ what: String, of file: String, isClosed: (String) -> Bool = { access($0, X_OK) != 0 && errno == EACCES }
    ) -> String {
        let text = "\(what): \(reason)"
        guard isForbidden else { return text }
        guard let folder = FilePathText.folders(above: file).first(where: isClosed) else {
            return "\(text); a unit runs as df2redis: chown root:df2redis \(file) && chmod 0640 \(file)"
        }
        let rights = "chown root:df2redis and chmod 0640 it"
        return "\(text), since this user may not enter \(folder); for a unit move it to /etc/df2redis, \(rights)"
    }
}
