import Base
import Foundation
import Lab
import Testing

@Suite struct `A folder` {
    @Test(arguments: [("/run/a/b", "/run/a"), ("/a", "/"), ("a", "."), ("a/b", "a")])
    func `of a path is the part before its last slash`(_ path: String, _ folder: String) {
        #expect(Folder.of(path) == folder)
    }

    @Test func `is created together with its parents, which get a mode of their own`() throws {
        let folder = try TemporaryFolder("folder")
        let path = folder.file("one/two/three")
        for _ in 0..<2 { try Folder.make(path, mode: 0o700, parentMode: 0o755) }
        func mode(_ path: String) throws -> Int? {
            try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        }
        #expect(try mode(path) == 0o700)
        #expect(try mode(folder.file("one/two")) == 0o755)
    }

    @Test func `is not created if a file is in the way`() throws {
        let folder = try TemporaryFolder("folder")
        try Data().write(to: URL(fileURLWithPath: folder.file("file")))
        #expect(throws: SystemError("mkdir", errno: ENOTDIR, peer: folder.file("file/below"))) {
            try Folder.make(folder.file("file/below"), mode: 0o755)
        }
    }
}
