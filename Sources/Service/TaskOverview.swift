import Dashboard

/// What the tasks of this machine say of themselves at one moment.
package struct TaskOverview: Sendable {
    private static let configurations = "/etc/df2redis"

    package private(set) var rows: [TaskTable.Row] = []
    /// The status documents of those that run.
    package private(set) var documents: [String] = []
    /// How the command ends: as the first named task says that has not answered.
    package private(set) var exitCode = ExitCode.ok
    package let places: String

    /// - Parameter tasks: names to ask for; none: all that run, and all that are configured.
    package init(tasks: [String], in directory: RuntimeDirectory = RuntimeDirectory()) {
        places = directory.roots.joined(separator: ", ")
        var names = tasks
        if names.isEmpty {
            let isUsual = directory.roots.first == RuntimeDirectory.standard
            names = Set(directory.tasks + (isUsual ? Self.configured : [])).sorted()
        }
        for name in names { ask(name, directory.sockets(of: name), isNamed: !tasks.isEmpty) }
    }

    private mutating func ask(_ name: String, _ sockets: [ControlSocket], isNamed: Bool) {
        var failure: ControlClient.Failure?
        for socket in sockets {
            do throws(ControlClient.Failure) {
                let (json, task) = try ControlClient(socket).status()
                guard task.task == name else { continue }
                rows.append(.running(task))
                documents.append(json.trimmingNewline())
                return
            } catch {
                if case .notRunning = error, failure != nil { continue }
                failure = error
            }
        }
        let absence = failure.map(TaskTable.Absence.init) ?? .notRunning
        // That nothing listens for a file in /etc/df2redis is no news.
        let hasReason = isNamed || absence != .notRunning
        rows.append(.absent(name, absence, hasReason ? failure?.description ?? "" : ""))
        if isNamed, exitCode == .ok { exitCode = failure?.exitCode ?? .sourceUnavailable }
    }

    private static var configured: [String] {
        RuntimeDirectory.names(in: configurations).filter { $0.hasSuffix(".yaml") && $0 != "example.yaml" }
            .map { String($0.dropLast(".yaml".count)) }
    }
}

extension String {
    fileprivate func trimmingNewline() -> String { last == "\n" ? String(dropLast()) : self }
}
