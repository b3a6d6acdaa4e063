/// Executes one command of an ordinary client: SELECT, transactions and the commands on the key space (Protocol 5.4).
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

    /// Answers the commands that clients send when they connect, and CLIENT PAUSE.
    private func answerTool() -> Reply {
        switch request.name {
        case "CLIENT": answerClient()
        case "HELLO": .error("NOPROTO unsupported protocol version")
        default: .array([])
        }
    }

    private func answerClient() -> Reply {
        switch request.keyword(0) {
        case "PAUSE":
            guard let limit = request.integer(1), (0...(1 << 40)).contains(limit) else { return ErrorText.integer }
            guard request.arguments.count == 2 || ["WRITE", "ALL"].contains(request.keyword(2)) else {
                return ErrorText.syntax
            }
            core.pause.begin(at: core.now, for: .milliseconds(limit), stopsReads: request.keyword(2) != "WRITE")
        case "UNPAUSE": core.pause.end()
        default: break
        }
        return .ok
    }

    /// Executes the commands of a transaction. Each one writes its own journal record, all with the same transaction id.
    private func executeTogether(_ requests: [Request], database: Int) -> Reply {
        core.sharedTransaction = core.nextTransactionID()
        defer { core.sharedTransaction = nil }
        return .array(requests.map { core.executeOnStore($0, database: database) })
    }
}
