import Glibc

/// A file that is replaced as a whole: a reader sees either the old contents or the new ones.
///
/// Foundation's `Data.write(options: .atomic)` is not used, because it flushes neither the bytes nor the name to the disk,
/// and its errors do not name the call that failed.
package struct AtomicFile: Sendable {
    package let path: String
    /// The file is readable by its group, for programs that watch the task.
    private static let mode: mode_t = 0o640

    package init(path: String) { self.path = path }

    /// Writes a new file and renames it to the old one's name.
    ///
    /// - Parameter isDurable: whether the contents and the name must be on the disk when this returns.
    package func write(_ contents: [UInt8], isDurable: Bool) throws(SystemError) {
        let temporary = path + ".new"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, Self.mode)
        guard descriptor >= 0 else { throw SystemError("open", errno: errno, peer: temporary) }
        let written = retryingInterrupts { Glibc.write(descriptor, contents, contents.count) }
        var failure: SystemError?
        if written < contents.count {
            // A file takes fewer bytes than it is given only if the disk is full.
            failure = SystemError("write", errno: written < 0 ? errno : ENOSPC, peer: temporary)
        } else if isDurable, fsync(descriptor) != 0 {
            failure = SystemError("fsync", errno: errno, peer: temporary)
        }
        close(descriptor)
        if failure == nil, rename(temporary, path) != 0 { failure = SystemError("rename", errno: errno, peer: path) }
        if let failure {
            unlink(temporary)
            throw failure
        }
        if isDurable { try syncFolder() }
    }

    /// Removes the file, on the disk as well.
    ///
    /// - Throws: `SystemError` if the file exists and cannot be removed.
    package func remove() throws(SystemError) {
        if unlink(path) != 0 {
            if errno == ENOENT { return }
            throw SystemError("unlink", errno: errno, peer: path)
        }
        try syncFolder()
    }

    /// Flushes the folder. A name that is only in memory would be gone after a crash of the machine.
    private func syncFolder() throws(SystemError) {
        let folder = Folder.of(path)
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SystemError("open", errno: errno, peer: folder) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw SystemError("fsync", errno: errno, peer: folder) }
    }
}
