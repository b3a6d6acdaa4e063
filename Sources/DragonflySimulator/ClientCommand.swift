/// One command of an ordinary client: its database, its MULTI, the commands of the key space (Protocol 5.4).
struct ClientCommand {
    let core: MasterCore
    let request: Request
    let connection: Connection

    func execute() -> Reply {
        switch request.name {
        case "SELECT":
            guard let database = request.integer(0), (0..<16).contains(database) else {
                return .error("ERR DB index is out of range")
            }
            connection.database = Int(database)
            return .ok
        case "MULTI":
            if connection.transaction != nil { return .error("ERR MULTI calls can not be nested") }
            connection.transaction = []
            return .ok
        case "DISCARD":
            connection.transaction = nil
            return .ok
        case "EXEC":
            guard let queued = connection.transaction else { return .error("ERR EXEC without MULTI") }
            connection.transaction = nil
            return executeTogether(queued, database: connection.database)
        case "CLIENT", "HELLO", "COMMAND", "CONFIG": return answerTool()
        default: break
        }
        guard connection.transaction == nil else {
            connection.transaction?.append(request)
            return .simple("QUEUED")
        }
        return core.executeOnStore(request, database: connection.database)
    }

    /// What clients ask for when they connect.
    private func answerTool() -> Reply {
        switch request.name {
        case "CLIENT": .ok
        case "HELLO": .error("NOPROTO unsupported protocol version")
        default: .array([])
        }
    }

    /// The commands of a MULTI: records of their own that share a transaction id.
    private func executeTogether(_ requests: [Request], database: Int) -> Reply {
        core.sharedTransaction = core.nextTransactionID()
        defer { core.sharedTransaction = nil }
        return .array(requests.map { core.executeOnStore($0, database: database) })
    }
}
