/// How a run ended, as reported to the shell and to systemd: the numbers are those of `sysexits.h`,
/// but for 1.
///
/// Source: `sysexits.h` of glibc; where its own wording leaves room, `meaning` says what a code means here.
/// A restart can help only where the cause may go away by itself: see `mayHealByRestart`.
package enum ExitCode: Int32, CaseIterable, Sendable {
    /// Done: a `migrate` that finished, or a `replicate` that was asked to leave and left in order.
    case ok = 0
    /// `check`, or the check of a cut-over, has found keys that differ, or some could not be mended; as diff and cmp have it.
    case different = 1
    /// The command line was wrong (EX_USAGE).
    case usage = 64
    /// The stream has data that the target cannot take, and the policy is to stop (EX_DATAERR).
    ///
    /// 65 and not 70: the program works as asked and it is the data (or the policy) that must change, whereas 70 reports
    /// of a defect in df2redis. A restart would meet the same data again.
    case policyStop = 65
    /// The source cannot be reached, or was lost for longer than `reconnect.giveUpSeconds` (EX_UNAVAILABLE).
    case sourceUnavailable = 69
    /// A defect of df2redis itself (EX_SOFTWARE).
    case software = 70
    /// The operating system refused something basic: a thread, a socket, memory (EX_OSERR).
    case osError = 71
    /// A file or folder could not be made, such as the state directory (EX_CANTCREAT).
    case cantCreate = 73
    /// Reading or writing a file failed: the spool, the checkpoint, the dead-letter file, standard output (EX_IOERR).
    case ioError = 74
    /// The target cannot be reached or cannot serve at present, another process runs the task, or a migration was asked to
    /// leave before it was complete (EX_TEMPFAIL).
    case targetUnavailable = 75
    /// The source sent what its protocol does not allow or what this version cannot decode (EX_PROTOCOL).
    case protocolError = 76
    /// The source or the target refused the user name or the password, our certificate, or a command to this user
    /// (EX_NOPERM).
    case noPermission = 77
    /// The configuration is wrong or cannot be read, or does not fit a server, as when TLS is not agreed on; or the task has
    /// been cut over (EX_CONFIG).
    case config = 78
}

extension ExitCode {
    /// What the code means to an operator, as one line.
    package var meaning: String {
        switch self {
        case .ok: "Complete, or stopped in order on request."
        case .different:
            "`check`, or `cutover --check`, found keys that differ. Or `verify`, `refresh` or `cutover` could not mend some."
        case .usage: "The command line is wrong; `df2redis --help` shows the right form."
        case .policyStop:
            "The target cannot take some data and `policy` or `conflict.policy` says stop; the log names the key. Or the source has come back empty, or with another replication id and hardly any key. Or `preflight` found what would stop the task, or `cutover` that this is no moment for it."
        case .sourceUnavailable: "The source cannot be reached, or stayed away longer than `reconnect.giveUpSeconds`."
        case .software: "A defect of df2redis; please report it with the log."
        case .osError: "The operating system refused a basic service (socket, thread, memory)."
        case .cantCreate: "A file or folder could not be created; look at `stateDir` and its owner."
        case .ioError:
            "Reading or writing a file failed; look at the disk under `stateDir`. Or a command could not print its result."
        case .targetUnavailable:
            "The target cannot be reached or cannot serve at present; the task runs already, in another process; or `migrate` or `cutover` was ended before it was complete."
        case .protocolError: "The source sent what cannot be decoded; the log names version, flow and offset."
        case .noPermission:
            "The source or the target refused the user name or password, our certificate, or a command to this user."
        case .config:
            "The configuration is wrong; each fault is printed with file, line and key. "
                + "Or TLS fails at a start, such as for a certificate that is not trusted. Or the task has been cut over: `df2redis cutover TASK --undo` lets it start again."
        }
    }

    /// Whether the same start may succeed later with nothing changed by hand; systemd restarts on these only.
    package var mayHealByRestart: Bool {
        switch self {
        case .sourceUnavailable, .software, .osError, .ioError, .targetUnavailable: true
        case .ok, .different, .usage, .policyStop, .cantCreate, .protocolError, .noPermission, .config: false
        }
    }

    /// All codes as a Markdown table, as the README shows it.
    package static var table: String {
        let rows = allCases.map { "| \($0.rawValue) | \($0.meaning) | \($0.mayHealByRestart ? "yes" : "no") |" }
        return (["| code | meaning | a restart may help |", "|---|---|---|"] + rows).joined(separator: "\n")
    }
}
