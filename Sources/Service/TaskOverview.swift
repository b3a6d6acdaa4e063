import Dashboard

/// What the tasks of this machine say of themselves at one moment.
package struct TaskOverview: Sendable {
    private static let configurations = "/etc/df2redis"

    package private(set) var rows: [TaskTable.Row] = []
    /// The status documents of those that run.
    package private(set) var documents: [String] = []
    package private(set) var namedAreRunning = true
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
        var reason = ""
        for socket in sockets {
            do throws(ControlClient.Failure) {
                let (json, task) = try ControlClient(socket).status()
                guard task.task == name else { continue }
                rows.append(.running(task))
                documents.append(json.trimmingNewline())
                return
            } catch {
                if case .notRunning = error, !reason.isEmpty { continue }
                reason = "\(error)"
            }
        }
        namedAreRunning = namedAreRunning && !isNamed
        rows.append(.absent(name, isNamed ? reason : ""))
    }

    private static var configured: [String] {
        RuntimeDirectory.names(in: configurations).filter { $0.hasSuffix(".yaml") && $0 != "example.yaml" }
            .map { String($0.dropLast(".yaml".count)) }
    }
}

extension String {
    fileprivate func trimmingNewline() -> String { last == "\n" ? String(dropLast()) : self }
}
