import Base
import Glibc

/// The preconditions of a task, checked before it connects to anything: it can write its folders, holds its lock, and has not
/// been cut over.
struct TaskPreconditions {
    /// The reason why the task does not start.
    struct Refusal: Error, CustomStringConvertible {
        let description: String
        var errno: Int32?
        let exitStatus: ExitStatus
    }

    private let configuration: Configuration
    private let configurationFile: String

    init(_ configuration: Configuration, configurationFile: String) {
        (self.configuration, self.configurationFile) = (configuration, configurationFile)
    }

    /// - Returns: the lock, which the caller holds while the task runs.
    func establish() async throws(Refusal) -> TaskLock {
        try makeFolder("stateDir", configuration.stateDirectory)
        try makeFolder("spool.dir", configuration.spool.directory)
        let lock = try await takeLock()
        let mark = CutoverMark(configuration)
        guard !mark.isSet else {
            let file = FilePathText.inWorkingDirectory(configurationFile)
            throw Refusal(description: mark.refusal(configuration, file: file), exitStatus: .cutOver)
        }
        return lock
    }

    /// - Parameter key: the setting that names the folder.
    private func makeFolder(_ key: String, _ path: String) throws(Refusal) {
        do throws(SystemError) {
            try Folder.make(path, mode: 0o750)
            var info = stat()
            if stat(path, &info) == 0, info.st_mode & S_IFMT != S_IFDIR {
                throw SystemError("mkdir", errno: ENOTDIR, peer: path)
            }
            guard access(path, W_OK | X_OK) == 0 else { throw SystemError("access", errno: errno, peer: path) }
        } catch {
            throw Refusal(description: "\(key): \(error)", errno: error.errno, exitStatus: .fileNotCreated)
        }
    }

    private func takeLock() async throws(Refusal) -> TaskLock {
        do throws(TaskLock.Failure) {
            return try await TaskLock.take("\(configuration.stateDirectory)/\(configuration.taskName).lock")
        } catch {
            switch error {
            case .held: throw Refusal(description: "\(error)", exitStatus: .alreadyRunning)
            case .system: throw Refusal(description: "\(error)", exitStatus: .fileNotCreated)
            }
        }
    }
}
