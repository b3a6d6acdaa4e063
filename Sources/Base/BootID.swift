import Glibc

/// Identifies the current boot of the machine.
///
/// What a process has written survives the process. What has not reached the disk is lost if the machine stops without a
/// shutdown.
package enum BootID {
    /// The unit passes the ID in this variable, because its sandbox hides the kernel's file.
    private static let variable = "DF2REDIS_BOOT_ID"
    private static let path = "/proc/sys/kernel/random/boot_id"

    /// A digest of the boot ID; `nil` if the ID is not available.
    package static var current: Int64? {
        digest(of: getenv(variable).map { String(cString: $0) } ?? contents(of: path))
    }

    /// - Parameter text: 32 hexadecimal digits, with hyphens or without.
    package static func digest(of text: String) -> Int64? {
        let digits = text.utf8.filter { $0 != UInt8(ascii: "-") && $0 != UInt8(ascii: "\n") }
        guard digits.count == 32 else { return nil }
        return digits.reduce(0) { $0 &* 31 &+ Int64($1) }
    }

    private static func contents(of path: String) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return "" }
        defer { close(descriptor) }
        var text = [UInt8](repeating: 0, count: 64)
        let count = read(descriptor, &text, text.count)
        return String(decoding: text.prefix(max(count, 0)), as: UTF8.self)
    }
}
