import Base
import Dashboard

/// The status of this machine's tasks at one moment.
package struct TaskOverview: Sendable {
    package private(set) var rows: [TaskTable.Row] = []
    /// The status documents of the running tasks.
    package private(set) var documents: [String] = []
    /// The exit status of the command: that of the first named task that does not answer.
    package private(set) var exitStatus = ExitStatus.done
    package let places: String
    /// The folder of the tasks' configurations.
    private let configurations: String

    /// - Parameter tasks: the names to ask for; if empty, all running and all configured tasks.
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
        // It is normal that a configured task does not run.
        let reason = isNamed || absence != .notRunning ? failure?.description ?? "" : ""
        rows.append((absence == .notRunning ? cutOver(name, otherwise: reason) : nil) ?? .absent(name, absence, reason))
    }

    /// - Parameter reason: why the task has not answered.
    /// - Returns: the row of a task that does not run because it was cut over, or may have been; `nil` if it was not.
    private func cutOver(_ name: String, otherwise reason: String) -> TaskTable.Row? {
        let file = "\(configurations)/\(name).yaml"
        guard let configuration = try? ConfigurationLoader().load(file, taskName: name).configuration else {
            return nil
        }
        let mark = CutoverMark(configuration)
        switch mark.state {
        case .notSet: return nil
        case .set: return .absent(name, .cutOver, mark.refusal(configuration, file: file))
        case .unknown:
            let doubt = "whether it was cut over cannot be seen by this user"
            return .absent(name, .notRunning, reason.isEmpty ? doubt : "\(reason); \(doubt)")
        }
    }

    private var configured: [String] {
        RuntimeDirectory.names(in: configurations).filter { $0.hasSuffix(".yaml") && $0 != "example.yaml" }
            .map { String($0.dropLast(".yaml".count)) }
    }
}

extension String {
    fileprivate func trimmingNewline() -> String { last == "\n" ? String(dropLast()) : self }
}
