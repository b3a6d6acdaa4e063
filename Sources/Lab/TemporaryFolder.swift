import Foundation

/// A folder under the system's temporary folder; it is removed with its contents when its last owner releases it.
package final class TemporaryFolder: Sendable {
    package let path: String

    package init(_ purpose: String) throws {
        var template = Array("\(FileManager.default.temporaryDirectory.path)/df2redis-\(purpose)-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw LabError.system("mkdtemp") }
        path = template.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } ?? "" }
    }

    deinit { remove() }

    /// Removes the folder now.
    package func remove() { try? FileManager.default.removeItem(atPath: path) }

    /// The path of `name` inside the folder.
    package func file(_ name: String) -> String { "\(path)/\(name)" }

    /// Writes `text` to the file `name` and returns the file's path.
    @discardableResult
    package func write(_ text: String, to name: String) throws -> String {
        try text.write(toFile: file(name), atomically: false, encoding: .utf8)
        return file(name)
    }
}
