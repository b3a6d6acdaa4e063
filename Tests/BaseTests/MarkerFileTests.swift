import Base
import Foundation
import Lab
import Testing

@Suite struct `A marker file` {
    @Test func `holds the time at which it was set, and may be removed twice`() throws {
        let folder = try TemporaryFolder("marker")
        let marker = MarkerFile(folder.file("mark"))
        #expect(!marker.isSet)
        try marker.set()
        #expect(marker.isSet)
        let text = try #require(FileManager.default.contents(atPath: marker.path))
        #expect(Int(String(decoding: text.dropLast(), as: UTF8.self)) ?? 0 > 1_700_000_000)
        try marker.remove()
        try marker.remove()
        #expect(!marker.isSet)
    }

    @Test func `counts as set if its existence cannot be checked`() throws {
        let folder = try TemporaryFolder("marker")
        try Data().write(to: URL(fileURLWithPath: folder.file("no-folder")))
        let unseen = MarkerFile(folder.file("no-folder/mark"))
        #expect(unseen.isSet)
        #expect(unseen.state == .unknown(SystemError("access", errno: ENOTDIR, peer: unseen.path)))
        #expect(!MarkerFile(folder.file("missing/mark")).isSet)
    }
}
