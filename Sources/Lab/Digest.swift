import Foundation

/// SHA-256 of each of `contents`, as lower-case hexadecimal text, by one run of coreutils' `sha256sum`.
package func sha256(_ contents: [[UInt8]]) throws -> [String] {
    if contents.isEmpty { return [] }
    let folder = try TemporaryFolder("digest")
    let paths = contents.indices.map { folder.file("\($0)") }
    for (path, bytes) in zip(paths, contents) {
        guard FileManager.default.createFile(atPath: path, contents: Data(bytes)) else {
            throw LabError("cannot write \(path)")
        }
    }
    let process = try ChildProcess("sha256sum", ["--"] + paths, output: folder.file("digests"))
    guard try process.waitForEnd() == .exited(0) else { throw LabError("sha256sum:\n\(process.outputTail())") }
    let digests = process.output.split(separator: "\n").map { String($0.prefix(64)) }
    guard digests.count == contents.count else { throw LabError("sha256sum gave \(digests.count) lines") }
    return digests
}
