import Foundation

/// A program that this process started: its output in files, its end and its resource usage.
///
/// Signals go only to the started process, by its id, and only before it has been waited for, so the id cannot belong
/// to another process. A process that still runs when its owner releases it is killed.
package final class ChildProcess {
    /// How a process ended.
    package enum End: Equatable, Sendable {
        case exited(Int32)
        case signalled(Int32)
    }

    /// The resources that a process has used so far, or in total once it has ended.
    package struct Usage: Sendable {
        package var cpuSeconds: Double
        package var peakResidentBytes: Int
        /// Voluntary and involuntary switches of all threads; 0 while the process runs.
        package var contextSwitches = 0
    }

    package let name: String
    package let pid: Int32
    /// The file with the process's standard output; `errorPath` is the same file if both outputs go to one.
    package let outputPath: String
    package let errorPath: String
    package let started = ContinuousClock.now
    private var ended: (end: End, usage: Usage, time: ContinuousClock.Instant)?
    /// The peak memory of this process at the start: until the child has executed its program, the kernel counts this
    /// memory as the child's.
    private let ownPeakBytes: Int
    private var sampledPeakBytes = 0

    /// Starts `executable`, an absolute path or a name to be found on `PATH`.
    ///
    /// - Parameter input: the file to read as standard input; nothing by default.
    /// - Parameter environment: variables to add to this process's environment, or to replace in it.
    /// - Parameter descriptors: the descriptors that the process gets from number 3 on; their own numbers are above these.
    package init(
        _ executable: String, _ arguments: [String], input: String = "/dev/null", output: String,
        error: String? = nil, environment: [String: String] = [:], descriptors: [Int32] = []
    ) throws {
        name = (executable as NSString).lastPathComponent
        outputPath = output
        errorPath = error ?? output
        ownPeakBytes = Self.peakResidentBytes(of: "self")
        pid = try Self.spawn(executable, arguments, input, output, error, environment, descriptors)
    }

    deinit { kill() }

    /// `posix_spawn_file_actions_addclosefrom_np` of glibc 2.34, which Swift does not import.
    private static let closeFrom = dlsym(nil, "posix_spawn_file_actions_addclosefrom_np").map {
        unsafeBitCast($0, to: CloseFrom.self)
    }
    private typealias CloseFrom = @convention(c) (UnsafeMutablePointer<posix_spawn_file_actions_t>, Int32) -> Int32

    private static func spawn(
        _ executable: String, _ arguments: [String], _ input: String, _ output: String, _ error: String?,
        _ environment: [String: String], _ descriptors: [Int32]
    ) throws -> Int32 {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        let append = O_WRONLY | O_CREAT | O_APPEND
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, input, O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output, append, 0o600)
        if let error {
            posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, error, append, 0o600)
        } else {
            posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)
        }
        // The child inherits no other descriptor: a socket that another thread has just accepted would stay open in the
        // child, and its peer would wait for an end that does not come.
        for (index, descriptor) in descriptors.enumerated() {
            posix_spawn_file_actions_adddup2(&actions, descriptor, Int32(3 + index))
        }
        _ = closeFrom?(&actions, Int32(3 + descriptors.count))

        // A test runner may ignore or block signals; the child begins with none ignored and none blocked.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

        let variables = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        var argumentPointers = ([executable] + arguments).map { strdup($0) } + [nil]
        var variablePointers = variables.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for pointer in argumentPointers + variablePointers { free(pointer) } }
        var pid: pid_t = 0
        let code = posix_spawnp(&pid, executable, &actions, &attributes, &argumentPointers, &variablePointers)
        guard code == 0 else { throw LabError.system("starting", executable, errno: code) }
        return pid
    }

    // MARK: Life

    package var isRunning: Bool { end == nil }

    /// How the process ended; `nil` while it runs.
    package var end: End? {
        collect(WNOHANG)
        return ended?.end
    }

    /// Sends `signal` to the process, unless it has ended.
    package func signal(_ signal: Int32) {
        if isRunning { _ = Foundation.kill(pid, signal) }
    }

    /// SIGSTOP: the process stops and keeps its sockets.
    package func pause() { signal(SIGSTOP) }

    /// SIGCONT: the process continues.
    package func resume() { signal(SIGCONT) }

    /// Sends SIGKILL and waits for the end.
    package func kill() {
        guard isRunning else { return }
        _ = Foundation.kill(pid, SIGKILL)
        collect(0)
    }

    /// Waits for the end.
    ///
    /// - Throws: `LabError` with the end of the output if the process, which is left alone, still runs after `timeout`.
    @discardableResult
    package func waitForEnd(timeout: Duration = .seconds(30)) throws -> End {
        let deadline = ContinuousClock.now + timeout
        var turn = 0
        while true {
            if let end { return end }
            if turn % 16 == 0 { samplePeak() }
            turn += 1
            if ContinuousClock.now >= deadline {
                throw LabError("\(name) still runs after \(timeout); it printed last:\n\(outputTail())")
            }
            blockThread(for: .milliseconds(1))
        }
    }

    /// Sends SIGTERM, and SIGKILL if that does not end the process within `grace`.
    @discardableResult
    package func terminate(grace: Duration = .seconds(10)) -> End? {
        signal(SIGCONT)
        signal(SIGTERM)
        if (try? waitForEnd(timeout: grace)) == nil { kill() }
        return end
    }

    private func collect(_ options: Int32) {
        guard ended == nil else { return }
        var status: Int32 = 0
        var usage = rusage()
        var result: pid_t
        repeat { result = wait4(pid, &status, options, &usage) } while result < 0 && errno == EINTR
        guard result == pid else { return }
        let signal = status & 0x7F
        let peak = usage.ru_maxrss * 1024
        let seconds = [usage.ru_utime, usage.ru_stime].map { Double($0.tv_sec) + Double($0.tv_usec) * 1e-6 }
        ended = (
            signal == 0 ? .exited((status >> 8) & 0xFF) : .signalled(signal),
            Usage(
                cpuSeconds: seconds[0] + seconds[1],
                peakResidentBytes: peak > ownPeakBytes ? peak : sampledPeakBytes,
                contextSwitches: usage.ru_nvcsw + usage.ru_nivcsw), .now
        )
    }

    // MARK: Usage

    /// CPU time and peak memory: so far while the process runs, in total once it has ended.
    ///
    /// If the process had less memory than this process at the start, the peak is the last one that was sampled.
    package var usage: Usage {
        if !isRunning, let ended { return ended.usage }
        var usage = Usage(cpuSeconds: 0, peakResidentBytes: 0)
        // Fields 14 and 15 of proc(5)'s stat; the second field, the name, may hold spaces and ends with a parenthesis.
        if let stat = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8),
            let afterName = stat.lastIndex(of: ")")
        {
            let fields = stat[afterName...].split(separator: " ")
            let ticks = fields.count > 13 ? (Double(fields[12]) ?? 0) + (Double(fields[13]) ?? 0) : 0
            usage.cpuSeconds = ticks / Double(sysconf(Int32(_SC_CLK_TCK)))
        }
        samplePeak()
        usage.peakResidentBytes = sampledPeakBytes
        return usage
    }

    /// Reads the peak memory so far.
    package func samplePeak() { sampledPeakBytes = max(sampledPeakBytes, Self.peakResidentBytes(of: "\(pid)")) }

    /// The peak resident memory of a process since it executed its program; 0 once it has ended.
    private static func peakResidentBytes(of process: String) -> Int {
        let status = (try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)) ?? ""
        let peak = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
        return peak.flatMap { Int($0.filter(\.isNumber)) }.map { $0 * 1024 } ?? 0
    }

    /// The time from the start until the end was noticed, or until now while the process runs.
    package var wallTime: Duration {
        _ = isRunning
        return (ended?.time ?? .now) - started
    }

    // MARK: Output

    /// What the process has printed to standard output so far.
    package var output: String { Self.text(outputPath) }

    /// What the process has printed to standard error so far.
    package var errorOutput: String { Self.text(errorPath) }

    /// The last lines of the output, for a message.
    package func outputTail(lines: Int = 15) -> String {
        let text = errorPath == outputPath ? output : output + errorOutput
        return text.split(separator: "\n").suffix(lines).joined(separator: "\n")
    }

    private static func text(_ path: String) -> String {
        (FileManager.default.contents(atPath: path)).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }
}
