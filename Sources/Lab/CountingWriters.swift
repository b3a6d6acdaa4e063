import Base
import Foundation
import Wire

/// Clients that write until they are stopped or get no reply in time, and that remember which writes were acknowledged.
///
/// Client `i` sends `INCR counter:<i>` and `SET slot:<i>:<n % 50> <n>` together, for n from 1 on.
package final class CountingWriters: Sendable {
    private static let slots = 50

    private struct State {
        var acknowledged: [Int]
        var isStopped = false
        var running: Int
        var failures: [String] = []
    }

    private let state: Lock<State>

    /// - Parameter patience: how long a client waits for a reply before it gives up.
    package init(port: UInt16, clients: Int = 4, patience: Duration) {
        state = Lock(State(acknowledged: Array(repeating: 0, count: clients), running: clients))
        for client in 0..<clients {
            Thread { [self] in
                do { try write(RESPClient(port: port, timeout: patience), client) } catch {
                    state.withLock { $0.failures.append("\(error)") }
                }
                state.withLock { $0.running -= 1 }
            }.start()
        }
    }

    /// The number of acknowledged pairs so far, over all clients.
    package var acknowledged: Int { state.withLock { $0.acknowledged.reduce(0, +) } }

    /// The number of clients that still write.
    package var running: Int { state.withLock { $0.running } }

    private func write(_ connection: RESPClient, _ client: Int) throws {
        var number = 0
        while !state.withLock({ $0.isStopped }) {
            number += 1
            let replies = try connection.pipeline([
                ["INCR", "counter:\(client)"].map { Array($0.utf8) },
                ["SET", "slot:\(client):\(number % Self.slots)", "\(number)"].map { Array($0.utf8) },
            ])
            guard replies[0].int == Int64(number), replies[1].isOK else { throw LabError("not counted: \(replies)") }
            state.withLock { $0.acknowledged[client] = number }
        }
    }

    /// Stops the clients and waits until they have ended.
    package func stop() throws {
        state.withLock { $0.isStopped = true }
        try wait(until: "the writers have ended") { running == 0 }
    }

    /// Describes the writes that were acknowledged but are missing at the server.
    package func missing(at server: RESPClient) throws -> [String] {
        var missing: [String] = []
        for (client, count) in state.withLock({ $0.acknowledged }).enumerated() where count > 0 {
            let counter = try server.command("GET", "counter:\(client)").text.flatMap { Int($0) } ?? 0
            if counter < count { missing.append("counter:\(client) is \(counter), acknowledged are \(count)") }
            for number in max(1, count - Self.slots + 1)...count {
                let slot = "slot:\(client):\(number % Self.slots)"
                let value = try server.command("GET", slot).text.flatMap { Int($0) } ?? 0
                if value < number { missing.append("\(slot) is \(value), acknowledged is \(number)") }
            }
        }
        return missing
    }
}
