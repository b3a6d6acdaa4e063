import Dashboard
import Glibc
import Link

/// A task that root runs by hand goes on as the owner of its state directory, in the program started anew, with what systemd
/// would hand over to its unit: the folder of the socket, and in it copies of the credentials that root alone can read.
package struct StateTakeover {
    package struct Refusal: Error, CustomStringConvertible {
        package let description: String
        package var exitStatus: ExitStatus { .fileNotMade }
    }

    private static let variable = "CREDENTIALS_DIRECTORY"

    private let task: String
    private let state: String
    private let socket: String

    package init(_ configuration: Configuration) {
        task = configuration.taskName
        state = configuration.stateDirectory
        socket = RuntimeDirectory().socket(forNew: task).folder
    }

    private var copies: String { "\(socket)/credentials" }

    /// Starts the program anew where that is called for.
    ///
    /// - Parameter say: called with a line for the operator.
    /// - Throws: why the task is not to run. It returns where this process runs the task itself.
    package func run(_ say: (String) -> Void) throws(Refusal) {
        guard let owner = StateOwner(of: state), owner.isToTakeOver() else { return }
        do throws(SystemError) {
            let credentials = readCredentials()
            owner.give(socket)
            try owner.takeOver()
            // As the owner: in folders that are the owner's, root could be led elsewhere by a link.
            try write(credentials)
            say("running as \(owner.title), to whom \(state) belongs")
            throw restart()
        } catch {
            throw Refusal(
                description:
                    "\(state) belongs to \(owner.title), who could not replace what root writes there, and root "
                    + "cannot go on as \(owner.title) here (\(error)): run it as \(owner.title)")
        }
    }

    /// - Returns: why this program is the one that goes on.
    private func restart() -> SystemError {
        // Threads of Dispatch block signals, and the program would inherit that.
        var none = sigset_t()
        sigemptyset(&none)
        pthread_sigmask(SIG_SETMASK, &none, nil)
        var arguments = CommandLine.arguments.map { strdup($0) } + [nil]
        let program = "/proc/self/exe"
        // Under its own name, where the owner can reach it.
        if let path = realpath(program, nil) { execv(path, &arguments) }
        execv(program, &arguments)
        return SystemError("execv", errno: errno, peer: program)
    }

    private struct Credential {
        let name: String
        let text: String
    }

    /// - Returns: `nil` where there is no folder of credentials.
    private func readCredentials() -> [Credential]? {
        let files = CredentialFiles(
            taskName: task, directory: getenv(Self.variable).map { String(cString: $0) }, places: CredentialPlaces())
        guard let folder = files.directory else { return nil }
        // In a folder of all tasks a name begins with the task's.
        let prefix = files.isShared ? "\(task)." : ""
        return RuntimeDirectory.names(in: folder).filter { $0.hasPrefix(prefix) }.compactMap { name in
            (try? TextFile.read("\(folder)/\(name)")).map {
                Credential(name: String(name.dropFirst(prefix.count)), text: $0)
            }
        }
    }

    private func write(_ credentials: [Credential]?) throws(SystemError) {
        guard let credentials else { return }
        guard mkdir(copies, 0o700) == 0 || errno == EEXIST else {
            throw SystemError("mkdir", errno: errno, peer: copies)
        }
        for credential in credentials {
            let copy = "\(copies)/\(credential.name)"
            unlink(copy)
            let descriptor = open(copy, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o400)
            guard descriptor >= 0 else { throw SystemError("open", errno: errno, peer: copy) }
            defer { close(descriptor) }
            let bytes = Array(credential.text.utf8)
            guard Glibc.write(descriptor, bytes, bytes.count) == bytes.count else {
                throw SystemError("write", errno: errno, peer: copy)
            }
        }
        setenv(Self.variable, copies, 1)
    }

    /// The task has ended: its copies of credentials go.
    func end() {
        guard let folder = getenv(Self.variable).map({ String(cString: $0) }), folder == copies else { return }
        for name in RuntimeDirectory.names(in: folder) { unlink("\(folder)/\(name)") }
        rmdir(folder)
    }
}
