import Glibc
import Testing

@testable import Systemd

struct JournalStreamTests {
    @Test func `standard error is the journal only if it is the stream that systemd named`() async {
        await #expect(processExitsWith: .success) {
            var pipe: [Int32] = [-1, -1]
            #expect(Glibc.pipe(&pipe) == 0)
            let terminal = dup(STDERR_FILENO)

            unsetenv("JOURNAL_STREAM")
            dup2(pipe[1], STDERR_FILENO)
            let unset = JournalStream.stderrIsJournal()
            setenv("JOURNAL_STREAM", identity(of: pipe[1]), 1)
            let same = JournalStream.stderrIsJournal()
            // As with a shell's `2>file`: the variable is inherited, the stream is not.
            let file = tmpfile()
            dup2(fileno(file), STDERR_FILENO)
            let redirected = JournalStream.stderrIsJournal()
            close(STDERR_FILENO)
            let closed = JournalStream.stderrIsJournal()
            dup2(terminal, STDERR_FILENO)

            #expect(!unset)
            #expect(same)
            #expect(!redirected)
            #expect(!closed)
        }
    }

    @Test(arguments: ["", ":", "1", "1:", ":1", "1:2:3", "x:y", "-1:2", "18446744073709551616:1"])
    func `a text other than device and inode matches no stream`(text: String) {
        #expect(!JournalStream.isStream(text, STDERR_FILENO))
    }

    @Test func `device and inode must both match`() {
        var pipe: [Int32] = [-1, -1]
        #expect(Glibc.pipe(&pipe) == 0)
        defer { pipe.forEach { close($0) } }
        var status = stat()
        fstat(pipe[0], &status)
        #expect(JournalStream.isStream("\(status.st_dev):\(status.st_ino)", pipe[0]))
        #expect(!JournalStream.isStream("\(status.st_dev + 1):\(status.st_ino)", pipe[0]))
        #expect(!JournalStream.isStream("\(status.st_dev):\(status.st_ino + 1)", pipe[0]))
    }
}
