import Dispatch
import Dragonfly
import Link
import Redis
import Wire

/// A single server as a flow's target, with one connection that carries one transaction after another.
final class StandaloneTarget: FlowTarget {
    private let flow: FlowID
    private let context: FlowContext
    private let queue: DispatchQueue
    private var link: TransactionLink?
    /// The server to which `link` is connected.
    private var endpoint: Endpoint?
    var onEvent: (FlowTargetEvent) -> Void = { _ in }

    /// - Parameter queue: the queue of the flow.
    init(_ flow: FlowID, context: FlowContext, queue: DispatchQueue) {
        self.flow = flow
        self.context = context
        self.queue = queue
    }

    func open(isolation: isolated (any Actor)? = #isolation) async throws -> FlowTargetFinding {
        close()
        let isInTarget = context.checkpoint.store == .target
        let key = context.checkpointKey
        let question = ["HGETALL", key.name]
        // An earlier connection may have left a transaction in the target's socket.
        let opened = try await context.connector.connect(flow: "flow-\(flow)", asking: isInTarget ? question : nil)
        let connection = opened.connection
        do {
            context.targetLimits.configure(opened.profile.limits)
            if case .error(let text)? = opened.answer { throw TargetError.reply(text, to: "HGETALL", key: key.name) }
            let fields = opened.answer.map { TaskFindings.fields($0) } ?? [:]
            let finding = FlowTargetFinding(
                runID: opened.profile.runID, checkpoint: fields[key.field(flow)],
                outOfStreamCount: key.outOfStreamCount(flow, in: fields))
            let socket = try await connection.detach().socket
            link = TransactionLink(
                socket: socket, peer: connection.endpoint.description, queue: queue,
                roundTrip: opened.roundTrip,
                onOutcome: { [weak self] in self?.onEvent(.completed($0, $1)) },
                onLost: { [weak self] in self?.onEvent(.lost($0)) },
                onRoom: { [weak self] in self?.onEvent(.hasRoom) })
            endpoint = connection.endpoint
            return finding
        } catch {
            await connection.close()
            throw error
        }
    }

    var isIdle: Bool { link?.isIdle == true }

    var silence: Duration { link?.silence ?? .zero }

    var room: Int { link?.room ?? 0 }

    var batchBytes: Int { link?.batchBytes ?? 0 }

    func deliver(_ batch: CommandBatch) { link?.send(batch) }

    func batchGrew() { link?.batchGrew() }

    func followMove() {
        link?.readArrived()
        guard let link, let endpoint, let master = context.connector.settings.locator?.current, master != endpoint
        else { return }
        link.close()
        self.link = nil
        onEvent(
            .lost(
                TargetError(
                    .unreachable, "the target \(endpoint) is no longer the master: the sentinels name \(master)")))
    }

    func close() {
        link?.close()
        link = nil
    }
}
