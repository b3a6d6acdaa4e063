import Glibc
import Lab
import Testing

@testable import Preflight

@Suite struct `A preflight of a folder` {
    private func finding(_ folder: String, needs bytes: Int = 0, isRoot: Bool = true) -> PreflightFinding {
        FolderPreflight(topic: "state", setting: "stateDir", folder: folder, neededBytes: bytes, isRoot: isRoot)
            .finding()
    }

    @Test func `passes if the folder exists or can be created`() throws {
        let folder = try TemporaryFolder("state")
        #expect(finding(folder.path, needs: 1).message == "\(folder.path) is writable")
        let other = finding(folder.file("a/b"))
        #expect(other.level == .ok)
        #expect(other.message == "\(folder.file("a/b")) can be made")
    }

    @Test(arguments: [true, false]) func `fails if a parent is a file`(_ isRoot: Bool) throws {
        let folder = try TemporaryFolder("state")
        let file = try folder.write("", to: "file")
        let finding = finding("\(file)/state", isRoot: isRoot)
        #expect(finding.level == .fail)
        #expect(finding.message == "nothing can be created in \(file) (Not a directory)")
        #expect(finding.remedy?.contains("stateDir") == true)
    }

    @Test func `fails in /proc, where no files can be created`() {
        let finding = finding("/proc/df2redis/prod")
        #expect(finding.level == .fail)
        #expect(finding.message.hasPrefix("nothing can be created in /proc ("))
    }

    @Test(.enabled(if: SmallFileSystem.isPossible, "mounting takes root"))
    func `fails on a file system that is full or read-only`() throws {
        let folder = try TemporaryFolder("state")
        let disk = try SmallFileSystem(at: folder.file("disk"), bytes: 256 << 10)
        #expect(finding("\(disk.path)/state", needs: 128 << 10).level == .ok)
        let small = finding("\(disk.path)/state", needs: 1 << 20)
        #expect(small.level == .fail)
        #expect(small.message.contains("free in \(disk.path), a start needs 1.0 MiB"), "\(small)")
        let (readOnly, remount): (UInt, UInt) = (1, 32)
        #expect(mount("tmpfs", disk.path, "tmpfs", readOnly | remount, nil) == 0)
        for isRoot in [true, false] {
            let finding = finding("\(disk.path)/state", isRoot: isRoot)
            #expect(finding.level == .fail)
            #expect(finding.message == "nothing can be created in \(disk.path) (Read-only file system)")
        }
    }
}
