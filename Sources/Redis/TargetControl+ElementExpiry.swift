import Wire

/// The elements' TTLs of a whole task, between two sessions.
extension TargetControl {
    /// Flows that a task may have had.
    private static let maxFlows = 1024

    /// A page of the keys that a flow's due list of one database holds.
    package func dueKeys(
        task: String, flow: Int, database: UInt32, cursor: String
    ) async throws(TargetError) -> (cursor: String, keys: [[UInt8]]) {
        let name = String(decoding: ElementExpiry.dueKey(task: task, flow: flow), as: UTF8.self)
        guard let page = try await demand(["ZSCAN", name, cursor, "COUNT", "1000"], in: database).array,
            page.count == 2,
            let next = page[0].text, let pairs = page[1].array
        else { throw TargetError(.protocolViolation, "the target's answer to ZSCAN is not a page") }
        return (next, stride(from: 0, to: pairs.count, by: 2).compactMap { pairs[$0].bytes })
    }

    /// Keys with elements whose TTLs nobody but the task ends.
    package func dueKeyCount(task: String, flowCount: Int) async throws(TargetError) -> Int {
        var count = 0
        for database in try await databasesWithKeys() {
            for flow in 0..<flowCount {
                let name = String(decoding: ElementExpiry.dueKey(task: task, flow: flow), as: UTF8.self)
                count += Int(try await demand(["ZCARD", name], in: database).int ?? 0)
            }
        }
        return count
    }

    /// Forgets all elements' TTLs; the elements stay.
    ///
    /// - Returns: the number of keys that had some.
    package func forgetElementExpiries(task: String) async throws(TargetError) -> Int {
        let script = """
            for f=0,tonumber(ARGV[3])-1 do
            local d=ARGV[1]..f
            local ks=redis.call('ZRANGE',d,0,999)
            if #ks>0 then
            for i,k in ipairs(ks) do ks[i]=ARGV[2]..k end
            redis.call('UNLINK',unpack(ks)) redis.call('ZREMRANGEBYRANK',d,0,999)
            return #ks
            end
            end
            return 0
            """
        let due = String(decoding: ElementExpiry.dueKey(task: task, flow: 0).dropLast(), as: UTF8.self)
        let shadows = String(decoding: ElementExpiry.shadowPrefix(task: task), as: UTF8.self)
        var total = 0
        for database in try await databasesWithKeys() {
            let command = ["EVAL", script, "0", due, shadows, String(Self.maxFlows)]
            while let count = try await demand(command, in: database).int, count > 0 { total += Int(count) }
        }
        return total
    }
}
