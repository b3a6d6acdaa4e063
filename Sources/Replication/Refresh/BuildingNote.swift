import Glibc
import Link
import Wire

/// Notes in a file of the state directory where a value is being built, so that the place is known after a crash.
///
/// Without the note, the keys that a killed process leaves expire by themselves, later (`ValueBuilder`).
struct BuildingNote: Sendable {
    private static let mostBytes = 64

    /// The path of the file; `nil` if nothing is noted.
    let path: String?

    func write(_ text: String) {
        guard let path else { return }
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o640)
        guard descriptor >= 0 else { return }
        let bytes = text.bytes
        _ = retryingInterrupts { Glibc.write(descriptor, bytes, bytes.count) }
        close(descriptor)
    }

    /// - Returns: `nil` if nothing is being built.
    func read() -> String? {
        guard let path else { return nil }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: Self.mostBytes)
        let count = retryingInterrupts { Glibc.read(descriptor, &bytes, bytes.count) }
        return count > 0 ? String(decoding: bytes.prefix(count), as: UTF8.self) : nil
    }

    func clear() { if let path { unlink(path) } }
}
