import Base

/// The execution of requests: the master refuses a request or passes it to the type that executes it.
extension MasterCore {
    /// Executes a request and returns the reply; `.nothing` if there is none, or if it follows later.
    func execute(_ request: Request, from connection: Connection) -> Reply {
        let replconf = ReplconfCommand(core: self, request: request, connection: connection)
        if let flow = connection.flow, let reply = replconf.execute(on: flow) { return reply }
        if connection.observation.takesCommands { connection.observation.note(command: request.line) }
        if connection.flow != nil {
            let phase = connection.flow?.phase == .stable ? "stable" : "silent"
            violations.append("command on the \(phase) \(connection.label): \(request.name)")
        }
        if request.name == "AUTH" { return authenticate(request, connection) }
        if request.name == "QUIT" {
            connection.closesWhenDrained = true
            return .ok
        }
        guard connection.isAuthenticated else { return ErrorText.noAuth }
        if let refused = refuse(request) { return refused }
        if isLoading, !["INFO", "REPLCONF", "ROLE"].contains(request.name) { return ErrorText.loading }
        switch request.name {
        case "PING": return request.arguments.first.map { .bulk($0) } ?? .simple("PONG")
        case "TIME":
            let time = WallClock.milliseconds() + options.clockSkew
            return .array([.integer(time / 1000), .integer(time % 1000 * 1000)])
        case "REPLCONF": return replconf.execute()
        case "DFLY": return DflyCommand(core: self, request: request, connection: connection).execute()
        case "INFO": return .text(MasterView(core: self).info(request.keyword(0)))
        case "ROLE": return MasterView(core: self).role()
        default: return ClientCommand(core: self, request: request, connection: connection).execute()
        }
    }

    /// Returns the reply to a command that tests asked to refuse; `nil` for every other command.
    private func refuse(_ request: Request) -> Reply? {
        if refusals.isEmpty { return nil }
        let narrow = request.keyword(0).map { "\(request.name) \($0)" }
        guard
            let index = refusals.firstIndex(where: {
                $0.times > 0 && ($0.command == request.name || $0.command == narrow)
            })
        else { return nil }
        refusals[index].times -= 1
        return refusals[index].reply.map { .error($0) } ?? .nothing
    }

    private func authenticate(_ request: Request, _ connection: Connection) -> Reply {
        let words = request.arguments.map { String(decoding: $0, as: UTF8.self) }
        guard (1...2).contains(words.count) else { return ErrorText.arity("auth") }
        let user = words.count == 2 ? words[0] : "default"
        let isRight = options.password.map { user == options.user && words.last == $0 } ?? (user == "default")
        guard isRight else { return ErrorText.wrongPassword }
        connection.isAuthenticated = true
        return .ok
    }
}
