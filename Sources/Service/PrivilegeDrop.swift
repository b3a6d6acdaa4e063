import Dashboard
import Glibc
import Link

/// Makes a task that root starts by hand continue as the owner of its state directory.
///
/// The program is executed anew as this user. It gets what systemd would give to the task's unit: the folder of the socket,
/// and in it copies of the credentials that only root can read.
package struct PrivilegeDrop {
    package struct Refusal: Error, CustomStringConvertible {
        package let description: String
        package var exitStatus: ExitStatus { .fileNotCreated }
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

    /// Executes the program anew if root runs it and the state directory belongs to another user.
    ///
    /// - Parameter say: called with a line for the operator.
    /// - Throws: why the task cannot run. The method returns only if this process runs the task itself.
    package func run(_ say: (String) -> Void) throws(Refusal) {
        guard let owner = StateOwner(of: state), owner.mustDropPrivileges() else { return }
        do throws(SystemError) {
            let credentials = readCredentials()
            owner.give(socket)
            try owner.dropPrivileges()
            // Write as the owner: in the owner's folders a link could lead root elsewhere.
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

    /// - Returns: the reason why the program could not be executed; it does not return otherwise.
    private func restart() -> SystemError {
        // Dispatch's threads block signals, and the new program would inherit the mask.
        var none = sigset_t()
        sigemptyset(&none)
        pthread_sigmask(SIG_SETMASK, &none, nil)
        var arguments = CommandLine.arguments.map { strdup($0) } + [nil]
        let program = "/proc/self/exe"
        // Prefer the real path, which shows the program's own name, if the owner can reach it.
        if let path = realpath(program, nil) { execv(path, &arguments) }
        execv(program, &arguments)
        return SystemError("execv", errno: errno, peer: program)
    }

    private struct Credential {
        let name: String
        let text: String
    }

    /// - Returns: `nil` if there is no folder of credentials.
    private func readCredentials() -> [Credential]? {
        let files = CredentialFiles(
            taskName: task, directory: getenv(Self.variable).map { String(cString: $0) }, places: CredentialPlaces())
        guard let folder = files.directory else { return nil }
        // In a folder that all tasks share, file names begin with the task's name.
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

    /// Removes the copies of the credentials after the task has ended.
    func end() {
        guard let folder = getenv(Self.variable).map({ String(cString: $0) }), folder == copies else { return }
        for name in RuntimeDirectory.names(in: folder) { unlink("\(folder)/\(name)") }
        rmdir(folder)
    }
}
