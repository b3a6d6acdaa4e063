import Dashboard

/// What the tasks of this machine say of themselves at one moment.
package struct TaskOverview: Sendable {
    package private(set) var rows: [TaskTable.Row] = []
    /// The status documents of those that run.
    package private(set) var documents: [String] = []
    /// How the command ends: as the first named task says that has not answered.
    package private(set) var exitStatus = ExitStatus.done
    package let places: String
    /// The folder of the tasks' configurations.
    private let configurations: String

    /// - Parameter tasks: names to ask for; none: all that run, and all that are configured.
    package init(
        tasks: [String], in directory: RuntimeDirectory = RuntimeDirectory(), configurations: String = "/etc/df2redis"
    ) {
        self.configurations = configurations
        places = directory.roots.joined(separator: ", ")
        var names = tasks
        if names.isEmpty {
            let isUsual = directory.roots.first == RuntimeDirectory.standard
            names = Set(directory.tasks + (isUsual ? configured : [])).sorted()
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
        if isNamed, exitStatus == .done { exitStatus = failure?.exitStatus ?? .taskNotRunning }
        if absence == .notRunning, let reason = cutover(of: name) {
            return rows.append(.absent(name, .cutOver, reason))
        }
        // That nothing listens for a file in /etc/df2redis is no news.
        let hasReason = isNamed || absence != .notRunning
        rows.append(.absent(name, absence, hasReason ? failure?.description ?? "" : ""))
    }

    /// - Returns: why a task does not start that has been cut over; `nil`: it has not been, or this user may not know.
    private func cutover(of name: String) -> String? {
        let file = "\(configurations)/\(name).yaml"
        guard let configuration = try? ConfigurationLoader().load(file, taskName: name).configuration else {
            return nil
        }
        let mark = CutoverMark(configuration)
        return mark.isSet ? mark.refusal(configuration, file: file) : nil
    }

    private var configured: [String] {
        RuntimeDirectory.names(in: configurations).filter { $0.hasSuffix(".yaml") && $0 != "example.yaml" }
            .map { String($0.dropLast(".yaml".count)) }
    }
}

extension String {
    fileprivate func trimmingNewline() -> String { last == "\n" ? String(dropLast()) : self }
}
