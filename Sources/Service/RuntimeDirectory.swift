package import Dashboard
import Glibc

/// The folders for the sockets of running tasks: one per task, `/run/df2redis/<task>` under systemd.
package struct RuntimeDirectory: Sendable {
    package static let standard = "/run/df2redis"

    /// The folders that contain the tasks' folders. A new task's folder is created in the first one that can be written.
    package let roots: [String]
    /// The unit's own folder, from systemd.
    private let own: String?

    /// - Parameter environment: `RUNTIME_DIRECTORY` comes from systemd, or from an operator who wants the sockets
    ///   elsewhere. Without it the roots are `/run/df2redis` and, for users who may not write there,
    ///   `$XDG_RUNTIME_DIR/df2redis`.
    package init(environment: [String: String] = RuntimeDirectory.environment) {
        // systemd lists several folders with colons between them; the first is the unit's own.
        own = environment["RUNTIME_DIRECTORY"]?.split(separator: ":").first.map(String.init)
        let user = environment["XDG_RUNTIME_DIR"].map { "\($0)/df2redis" }
        roots = own.map { [$0] } ?? [Self.standard] + (user.map { [$0] } ?? [])
    }

    package static var environment: [String: String] {
        var environment: [String: String] = [:]
        for name in ["RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"] {
            environment[name] = getenv(name).flatMap { $0.pointee == 0 ? nil : String(cString: $0) }
        }
        return environment
    }

    /// The socket for a task that starts.
    package func socket(forNew task: String) -> ControlSocket {
        if let own, own.split(separator: "/").last.map({ $0 == task }) == true { return ControlSocket(folder: own) }
        let root = roots.first(where: Self.isWritable) ?? roots[0]
        return ControlSocket(folder: "\(root)/\(task)")
    }

    private static func isWritable(_ root: String) -> Bool {
        if access(root, F_OK) == 0 { return access(root, W_OK | X_OK) == 0 }
        let parent = root.split(separator: "/").dropLast().joined(separator: "/")
        return access("/\(parent)", W_OK | X_OK) == 0
    }

    /// The sockets that a task may have, wherever it was started.
    package func sockets(of task: String) -> [ControlSocket] {
        roots.map { ControlSocket(folder: "\($0)/\(task)") } + (own.map { [ControlSocket(folder: $0)] } ?? [])
    }

    /// The socket at which a process of the task listens.
    ///
    /// - Throws: why there is none, or why this user may not use it.
    package func socket(ofRunning task: String) throws(ControlClient.Failure) -> ControlSocket {
        let sockets = sockets(of: task)
        var failure = ControlClient.Failure.notRunning(sockets.first?.path ?? "")
        for socket in sockets {
            do {
                _ = try ControlClient(socket).processID()
                return socket
            } catch .notRunning {
                continue
            } catch {
                failure = error
            }
        }
        throw failure
    }

    /// The names of the tasks that have a socket, sorted.
    package var tasks: [String] {
        var names: Set<String> = []
        for root in roots {
            for name in Self.names(in: root) {
                // A folder that this user may not look into belongs to a task, too.
                let isThere = access(ControlSocket(folder: "\(root)/\(name)").path, F_OK) == 0 || errno == EACCES
                if isThere { names.insert(name) }
            }
        }
        return names.sorted()
    }

    static func names(in folder: String) -> [String] {
        guard let directory = opendir(folder) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names
    }
}
