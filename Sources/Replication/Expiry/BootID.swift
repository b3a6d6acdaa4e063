import Glibc

/// Which boot of the machine this is: what a process has written survives it, what a machine had not brought to its disk
/// is lost when it stops without order.
enum BootID {
    /// The unit passes it on: its sandbox hides the kernel's file.
    private static let variable = "DF2REDIS_BOOT_ID"
    private static let path = "/proc/sys/kernel/random/boot_id"

    /// A digest; `nil` where nothing says.
    static var current: Int64? { digest(of: getenv(variable).map { String(cString: $0) } ?? contents(of: path)) }

    /// - Parameter text: 32 hexadecimal digits, with hyphens or without.
    static func digest(of text: String) -> Int64? {
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
