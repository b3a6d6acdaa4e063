import Dispatch
import Dragonfly
import Glibc
import Link
import Redis
import Wire

/// A flow's connections to the nodes of a cluster, one for each node. A connection is made on request, and again with
/// longer and longer waits as long as it is requested.
///
/// Confined to the queue of its flow.
final class NodePool: @unchecked Sendable {  // confined to the queue of its flow; tasks hop back to it
    struct Handlers {
        var onReply: (Endpoint, NodeReply, NodeExpectation, Int?) -> Void
        var onRest: () -> Void
        /// A connection has ended with these parts on their way.
        var onLost: (Endpoint, Set<Int>, TargetError) -> Void
        /// A node is connected and has answered the questions that come first.
        var onUp: (Endpoint, [(slot: KeySlot, mark: SlotMark?)]) -> Void
        var onFailed: (Endpoint, TargetError) -> Void
        var onRoom: () -> Void
        /// Returns the slots whose marks a node is asked for before it is used.
        var questions: (Endpoint) -> [KeySlot]
    }

    private enum Node {
        case connecting
        case up(NodeLink)
        case down(until: ContinuousClock.Instant, attempts: Int)
    }

    private let flow: FlowID
    private let cluster: ClusterConnector
    private let retry: RetryPolicy
    private let markField: MarkField
    private let queue: DispatchQueue
    private let handlers: Handlers
    private var nodes: [Endpoint: Node] = [:]
    private var tasks: [Endpoint: Task<Void, Never>] = [:]
    /// The number of connections in a row that have ended with requests on their way, by node.
    private var losses: [Endpoint: Int] = [:]
    /// Limits how often connections are made that end again.
    private var paces: [Endpoint: RetryPace] = [:]
    private var isClosed = false

    /// - Parameter markField: the field of the nodes' marks.
    init(
        _ flow: FlowID, cluster: ClusterConnector, retry: RetryPolicy, markField: MarkField, queue: DispatchQueue,
        _ handlers: Handlers
    ) {
        (self.flow, self.cluster, self.retry, self.markField) = (flow, cluster, retry, markField)
        (self.queue, self.handlers) = (queue, handlers)
    }

    /// Returns the connection to a node; `nil` if there is none yet. It is then made, now or after a wait.
    func link(to endpoint: Endpoint) -> NodeLink? {
        switch nodes[endpoint] {
        case .up(let link): return link
        case .connecting: return nil
        case .down(let until, let attempts):
            if until <= .now { connect(endpoint, attempts: attempts) }
            return nil
        case nil:
            if paces[endpoint, default: RetryPace()].pause(at: .now) == .zero { connect(endpoint, attempts: 0) }
            return nil
        }
    }

    /// Whether the node is connected and has answered the questions that come first.
    func isConnected(to endpoint: Endpoint) -> Bool {
        if case .up? = nodes[endpoint] { true } else { false }
    }

    /// Whether no node owes an answer.
    var isIdle: Bool { links.allSatisfy(\.isIdle) }

    var silence: Duration { links.map(\.silence).max() ?? .zero }
    var silentNode: Endpoint? { links.max { $0.silence < $1.silence }?.endpoint }

    func silence(of endpoint: Endpoint) -> Duration {
        if case .up(let link)? = nodes[endpoint] { link.silence } else { .zero }
    }

    private var links: [NodeLink] {
        nodes.values.compactMap { if case .up(let link) = $0 { link } else { nil } }
    }

    /// The nodes that owe an answer and have been silent for `limit`.
    func silentNodes(for limit: Duration) -> [Endpoint] {
        links.filter { $0.silence >= limit }.map(\.endpoint)
    }

    private func connect(_ endpoint: Endpoint, attempts: Int) {
        guard !isClosed else { return }
        nodes[endpoint] = .connecting
        paces[endpoint, default: RetryPace()].began(at: .now)
        let questions = handlers.questions(endpoint).map { (slot: $0, words: markField.question(in: $0)) }
        let role = "flow-\(flow)"
        tasks[endpoint] = Task { [cluster, queue] in
            do {
                // An earlier connection may have left something in the node's socket.
                let connection = try await cluster.connect(to: endpoint, role: role, replacing: true)
                do {
                    let connected = try await Self.ask(questions, on: connection, of: cluster)
                    queue.async { self.connected(endpoint, .success(connected), attempts: attempts + 1) }
                } catch {
                    await connection.close()
                    throw error
                }
            } catch {
                let error = TargetError(error)
                queue.async { self.connected(endpoint, .failure(error), attempts: attempts + 1) }
            }
        }
    }

    private static let markRole = "mark"

    private static func ask(
        _ questions: [(slot: KeySlot, words: [[UInt8]])], on connection: RequestConnection, of cluster: ClusterConnector
    ) async throws -> Connected {
        var answers: [(KeySlot, String?)] = []
        for (slot, question) in questions {
            var reply = try await connection.request(question)
            if let text = reply.errorText {
                switch ClusterRedirection(text, cluster.reading(from: connection.endpoint)) {
                // The slot is at another node, where its mark is asked for.
                case .moved: continue
                // The slot is being moved, and the mark has already moved.
                case .ask(_, let destination?):
                    reply = try await cluster.request(question, at: destination, isAsking: true, role: markRole)
                default: throw TargetError.reply(text, to: "HGET")
                }
            }
            if let text = reply.errorText { throw TargetError.reply(text, to: "HGET") }
            answers.append((slot, reply.text))
        }
        return Connected(socket: try await connection.detach().socket, answers: answers)
    }

    private struct Connected: Sendable {
        var socket: ConnectedSocket
        var answers: [(KeySlot, String?)]
    }

    private func connected(_ endpoint: Endpoint, _ result: Result<Connected, TargetError>, attempts: Int) {
        tasks[endpoint] = nil
        guard !isClosed else {
            if case .success(let connected) = result { Glibc.close(connected.socket.descriptor) }
            return
        }
        switch result {
        case .success(let connected):
            let link = NodeLink(
                connected.socket, endpoint: endpoint, queue: queue,
                .init(
                    onReply: { [weak self] in self?.handlers.onReply(endpoint, $0, $1, $2) },
                    onRest: { [weak self] in self?.handlers.onRest() },
                    onLost: { [weak self] in self?.lost(endpoint, $0) },
                    onRoom: { [weak self] in self?.handlers.onRoom() }))
            nodes[endpoint] = .up(link)
            handlers.onUp(endpoint, connected.answers.map { ($0.0, $0.1.flatMap { SlotMark($0) }) })
        case .failure(let error):
            nodes[endpoint] = .down(until: .now + retry.wait(before: attempts), attempts: attempts)
            handlers.onFailed(endpoint, error)
        }
    }

    /// Handles the end of a connection. The node is connected again at once after the first loss, and with longer and
    /// longer waits after further losses.
    private func lost(_ endpoint: Endpoint, _ error: TargetError) {
        guard case .up(let link)? = nodes[endpoint] else { return }
        nodes[endpoint] = nil
        if !link.isIdle {
            let earlier = losses[endpoint, default: 0]
            losses[endpoint] = earlier + 1
            if earlier > 0 { nodes[endpoint] = .down(until: .now + retry.wait(before: earlier), attempts: 0) }
        }
        handlers.onLost(endpoint, link.outstandingParts, error)
    }

    /// Reports that the nodes have done all work, so none of them ends its connections because of that work.
    func isDone() { if !losses.isEmpty { losses = [:] } }

    /// Gives up a connection to a node that serves no slot any more, or one that the node itself is ending.
    func drop(_ endpoint: Endpoint, because error: TargetError) {
        guard case .up(let link)? = nodes[endpoint] else { return }
        link.close()
        lost(endpoint, error)
    }

    func close() {
        isClosed = true
        for task in tasks.values { task.cancel() }
        for link in links { link.close() }
        nodes = [:]
    }

    /// Waits, after `close`, until no task of the pool is running.
    func join(isolation: isolated (any Actor)? = #isolation) async {
        for task in Array(tasks.values) { await task.value }
    }
}
