import Glibc

/// The result of a run, named by what happened. The shell and systemd see its `code`.
///
/// Several results share a code. The codes are those of `sysexits.h`, except for 1, which diff and cmp use as well.
package enum ExitStatus: CaseIterable, Sendable {
    case done
    /// Keys differ, or some could not be mended.
    case keysDiffer
    case wrongUsage
    /// The policy is to stop rather than to continue without some data.
    case stoppedByPolicy
    /// A check before the start found an obstacle.
    case notReady
    case sourceUnavailable
    case taskNotRunning
    case defect
    /// The operating system refused a basic service.
    case systemRefused
    case fileNotCreated
    /// A file, a socket or standard output cannot be read or written.
    case fileFailed
    case targetUnavailable
    /// Another process is doing it.
    case alreadyRunning
    /// Interrupted, not in time, or impossible at present.
    case notDone
    case taskUnhealthy
    case protocolViolated
    case notPermitted
    case misconfigured
    case cutOver
}

extension ExitStatus {
    package var code: Int32 {
        switch self {
        case .done: EX_OK
        case .keysDiffer: 1
        case .wrongUsage: EX_USAGE
        // Not EX_SOFTWARE: the program works as asked, and it is the data or the policy that must change.
        case .stoppedByPolicy, .notReady: EX_DATAERR
        case .sourceUnavailable, .taskNotRunning: EX_UNAVAILABLE
        case .defect: EX_SOFTWARE
        case .systemRefused: EX_OSERR
        case .fileNotCreated: EX_CANTCREAT
        case .fileFailed: EX_IOERR
        case .targetUnavailable, .alreadyRunning, .notDone, .taskUnhealthy: EX_TEMPFAIL
        case .protocolViolated: EX_PROTOCOL
        case .notPermitted: EX_NOPERM
        case .misconfigured, .cutOver: EX_CONFIG
        }
    }

    /// Returns the first result with this code, or `nil` if there is none.
    package init?(code: Int32) {
        guard let status = Self.allCases.first(where: { $0.code == code }) else { return nil }
        self = status
    }

    /// An explanation for operators, in sentences.
    package var meaning: String {
        switch self {
        case .done: "Complete, or stopped in order on request."
        case .keysDiffer:
            "`check`, or `cutover --check`, found keys that differ. Or `verify`, `refresh` or `cutover` could not mend some."
        case .wrongUsage: "The command line is wrong; `df2redis --help` shows the right form."
        case .stoppedByPolicy:
            "The target cannot take some data and `policy` or `conflict.policy` says stop; the log names the key. Or the source has come back empty, or with another replication id and hardly any key."
        case .notReady:
            "`preflight` found what would stop the task, or `cutover` that this is no moment for it."
        case .sourceUnavailable: "The source cannot be reached, or stayed away longer than `reconnect.giveUpSeconds`."
        case .taskNotRunning: "The task that a command asks does not run."
        case .defect: "A defect of df2redis; please report it with the log."
        case .systemRefused: "The operating system refused a basic service (socket, thread, memory)."
        case .fileNotCreated: "A file or folder could not be created; look at `stateDir` and its owner."
        case .fileFailed:
            "Reading or writing a file failed; look at the disk under `stateDir`. Or a command could not print its result."
        case .targetUnavailable: "The target cannot be reached or cannot serve at present."
        case .alreadyRunning: "The task runs already, in another process."
        case .notDone:
            "`migrate`, `cutover`, or what another command asked of a task, was ended before it was complete, or cannot be done at present."
        case .taskUnhealthy: "`health` found the task ill."
        case .protocolViolated: "The source sent what cannot be decoded; the log names version, flow and offset."
        case .notPermitted:
            "The source or the target refused the user name or password, our certificate, or a command to this user."
        case .misconfigured:
            "The configuration is wrong; each fault is printed with file, line and key. Or TLS fails at a start, such as for a certificate that is not trusted. Or `checkpoint.path` is somebody else's."
        case .cutOver:
            "The task, or another one of the same source, has been cut over: `df2redis cutover TASK --undo` lets it start again."
        }
    }

    /// Whether the same start may succeed later with nothing changed by hand; systemd restarts on these only.
    package var mayRestartHelp: Bool {
        switch self {
        case .sourceUnavailable, .taskNotRunning, .defect, .systemRefused, .fileFailed, .targetUnavailable,
            .alreadyRunning, .notDone, .taskUnhealthy:
            true
        case .done, .keysDiffer, .wrongUsage, .stoppedByPolicy, .notReady, .fileNotCreated, .protocolViolated,
            .notPermitted, .misconfigured, .cutOver:
            false
        }
    }

    /// All codes as the Markdown table of the README.
    package static var table: String {
        let byCode = Dictionary(grouping: allCases, by: \.code).sorted { $0.key < $1.key }
        let rows = byCode.map { code, all in
            let others = all.dropFirst().map { " Or \($0.meaning.prefix(1).lowercased())\($0.meaning.dropFirst())" }
            return "| \(code) | \(all[0].meaning)\(others.joined()) | \(all[0].mayRestartHelp ? "yes" : "no") |"
        }
        return (["| exit status | meaning | a restart may help |", "|---|---|---|"] + rows).joined(separator: "\n")
    }
}
