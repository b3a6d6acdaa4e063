import Glibc

/// Whether standard error leads into the journal.
package enum JournalStream {
    /// True if file descriptor 2 is the very stream that the service manager connected to the journal.
    ///
    /// `JOURNAL_STREAM` is `<device>:<inode>` of that stream (`systemd.exec(5)`). A child inherits it even if a shell has
    /// sent descriptor 2 elsewhere (`2>file`), so it is compared with what descriptor 2 is now.
    package static func stderrIsJournal() -> Bool {
        guard let text = getenv("JOURNAL_STREAM") else { return false }
        return isStream(String(cString: text), STDERR_FILENO)
    }

    /// Whether `descriptor` is the file that `identity`, as `<device>:<inode>` in decimal, names.
    static func isStream(_ identity: String, _ descriptor: Int32) -> Bool {
        let parts = identity.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, let device = UInt64(parts[0]), let inode = UInt64(parts[1]) else { return false }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return false }
        return UInt64(status.st_dev) == device && UInt64(status.st_ino) == inode
    }
}
