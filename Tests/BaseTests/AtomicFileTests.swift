import Base
import Foundation
import Lab
import Testing

@Suite struct `A file that is replaced atomically` {
    @Test(arguments: [false, true]) func `has the new contents and leaves no other file behind`(isDurable: Bool) throws
    {
        let folder = try TemporaryFolder("atomic")
        let file = AtomicFile(path: folder.file("state"))
        for contents in ["one", "another, longer one", ""] {
            try file.write(Array(contents.utf8), isDurable: isDurable)
            #expect(FileManager.default.contents(atPath: file.path) == Data(contents.utf8))
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["state"])
        try file.remove()
        try file.remove()
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == [])
    }

    @Test(.enabled(if: SmallFileSystem.isPossible, "mounting takes root"))
    func `keeps the old contents if the disk is full`() throws {
        let folder = try TemporaryFolder("atomic")
        let disk = try SmallFileSystem(at: folder.file("small"), bytes: 64 << 10)
        let file = AtomicFile(path: "\(disk.path)/state")
        try file.write([1, 2, 3], isDurable: true)
        #expect(throws: SystemError.self) { try file.write([UInt8](repeating: 0, count: 1 << 20), isDurable: true) }
        #expect(FileManager.default.contents(atPath: file.path) == Data([1, 2, 3]))
        #expect(try FileManager.default.contentsOfDirectory(atPath: disk.path) == ["state"])
    }
}

@Suite struct `Text quoted for JSON` {
    @Test func `parses back to the same text, whatever characters it has`() throws {
        for text in ["", "plain", "\"\\/", "\n\r\t\0\u{1F}\u{7F}\u{9F}", "äöü 日本 😀", "a\u{2028}b"] {
            let json = JSONText.quoted(text)
            #expect(json.unicodeScalars.allSatisfy { $0.value >= 0x20 })
            let back = try JSONSerialization.jsonObject(with: Data(json.utf8), options: .fragmentsAllowed)
            #expect(back as? String == text)
        }
    }
}
