import Glibc

/// Identifies a process among all machines and boots. The record of a task's owner holds this text.
///
/// ```
/// <instance> <host> <pid> <machine> <start>
/// instance   16 hex digits, random, drawn at the start of the process
/// machine    boot id and PID namespace, in which <pid> is valid; "-" if unknown
/// start      the start of the process in clock ticks since the boot, which distinguishes processes that reuse a pid
/// ```
package struct ProcessIdentity: Equatable, Sendable {
    package var instance: String
    package var host: String
    package var pid: Int32
    package var machine: String
    package var start: String

    package static let current = ProcessIdentity(
        instance: String(UInt64.random(in: 0x1000_0000_0000_0000 ... .max), radix: 16), host: hostName, pid: getpid(),
        machine: machine, start: startTime(of: getpid()) ?? "-")

    package var text: String { "\(instance) \(host) \(pid) \(machine) \(start)" }

    /// Whether the process that `text` names has certainly ended: it ran on this machine and no longer does.
    package static func hasEnded(_ text: String) -> Bool {
        let words = text.split(separator: " ").map(String.init)
        guard words.count == 5, let pid = Int32(words[2]), pid > 0, words[3] != "-", words[3] == current.machine else {
            return false
        }
        if kill(pid, 0) != 0, errno == ESRCH { return true }
        guard words[4] != "-", let start = startTime(of: pid) else { return false }
        return start != words[4]
    }

    private static var hostName: String {
        var name = [CChar](repeating: 0, count: 256)
        gethostname(&name, name.count - 1)
        let text = String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return text.isEmpty ? "?" : text.replacing(" ", with: "_")
    }

    private static var machine: String {
        guard let boot = BootID.current else { return "-" }
        var target = [CChar](repeating: 0, count: 64)
        let count = readlink("/proc/self/ns/pid", &target, target.count)
        guard count > 0 else { return "-" }
        let namespace = target.prefix(count).map { UInt8(bitPattern: $0) }.filter { $0 >= 0x30 && $0 <= 0x39 }
        return "\(String(UInt64(bitPattern: boot), radix: 16))-\(String(decoding: namespace, as: UTF8.self))"
    }

    /// Field 22 of `/proc/<pid>/stat`; `nil` if it cannot be read.
    private static func startTime(of pid: Int32) -> String? {
        let descriptor = open("/proc/\(pid)/stat", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 1024)
        let count = read(descriptor, &bytes, bytes.count)
        // The name, in parentheses, may contain any character.
        let text = String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self)
        guard let name = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: name)...].split(separator: " ")
        return fields.count > 19 ? String(fields[19]) : nil
    }
}
