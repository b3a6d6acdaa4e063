import Glibc
import Link

/// A child process: `journalctl`, `systemctl` or a hook.
final class ChildProgram: Sendable {
    let process: pid_t
    /// The descriptor to read its standard output from without blocking; -1 if the output is dropped.
    let output: Int32

    /// - Parameters:
    ///   - words: the program, searched for in `PATH`, and its arguments.
    ///   - environment: variables in addition to those of this process.
    ///   - input: its standard input; cut off after 32 KiB.
    /// - Throws: `SystemError`
    init(
        _ words: [String], environment: [String: String] = [:], input: String = "", readsOutput: Bool = false
    ) throws(SystemError) {
        let (inputEnd, inputStart) = try Self.pipe()
        defer { Glibc.close(inputEnd) }
        let bytes = Array(input.utf8.prefix(32 << 10))
        _ = write(inputStart, bytes, bytes.count)
        Glibc.close(inputStart)

        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, inputEnd, STDIN_FILENO)
        let ends = readsOutput ? try Self.pipe() : (-1, -1)
        defer { if ends.1 >= 0 { Glibc.close(ends.1) } }
        if readsOutput {
            posix_spawn_file_actions_adddup2(&actions, ends.1, STDOUT_FILENO)
        } else {
            posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0)
        }

        // A child would inherit the signals that this process ignores.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        // A process group of its own, so that the program and its children can be killed together.
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP))

        var variables: [UnsafeMutablePointer<CChar>?] = environment.map { strdup("\($0)=\($1)") }
        var next = environ
        while let variable = next.pointee {
            variables.append(strdup(variable))
            next += 1
        }
        variables.append(nil)
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { for text in arguments + variables { free(text) } }
        var process: pid_t = 0
        let code = posix_spawnp(&process, words[0], &actions, &attributes, &arguments, &variables)
        guard code == 0 else {
            if ends.0 >= 0 { Glibc.close(ends.0) }
            throw SystemError("posix_spawn", errno: code, peer: words[0])
        }
        self.process = process
        output = ends.0
        if output >= 0 { _ = fcntl(output, F_SETFL, O_NONBLOCK) }
    }

    private static func pipe() throws(SystemError) -> (read: Int32, write: Int32) {
        var ends: [Int32] = [-1, -1]
        guard Glibc.pipe(&ends) == 0 else { throw SystemError("pipe", errno: errno, peer: "") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return (ends[0], ends[1])
    }

    /// Returns whether the process has ended, and reaps it then.
    func hasEnded() -> Bool { end(waiting: false) != nil }

    /// Waits for the process to end, and kills it after `limit`. Blocking.
    ///
    /// - Returns: the exit status; `nil` if a signal ended the process.
    func wait(within limit: Duration) -> Int32? {
        let deadline = ContinuousClock.now + limit
        while ContinuousClock.now < deadline {
            if let status = end(waiting: false) { return status & 0x7F == 0 ? status >> 8 & 0xFF : nil }
            usleep(20_000)
        }
        end()
        return nil
    }

    /// Kills the process and its children, waits for it, and closes its output.
    func end() {
        kill(-process, SIGKILL)
        _ = end(waiting: true)
        if output >= 0 { Glibc.close(output) }
    }

    private func end(waiting: Bool) -> Int32? {
        var status: Int32 = 0
        let code = retryingInterrupts { Int(waitpid(process, &status, waiting ? 0 : WNOHANG)) }
        // ECHILD: the process was reaped before.
        return code == 0 ? nil : code < 0 ? -1 : status
    }
}
