import Dragonfly
import Logging

/// Finds the source's streams that have consumer groups, if the session resumes at a checkpoint and no snapshot has shown
/// them (`ConsumedStreams`).
@SessionActor
final class SessionStreams {
    /// The pause between two steps, so that no client of the source notices the walk.
    private static let pause = Duration.milliseconds(20)
    private static let failurePause = Duration.seconds(5)

    private let task: TaskContext
    private let flows: SessionFlows
    private let backgroundTasks: BackgroundTasks

    init(_ task: TaskContext, flows: SessionFlows, backgroundTasks: BackgroundTasks) {
        (self.task, self.flows, self.backgroundTasks) = (task, flows, backgroundTasks)
    }

    /// Starts the walk. Called when every flow is in its journal.
    func start() {
        let streams = task.operatorRequests.streams
        guard task.refreshes != nil, streams.beginWalk() else { return }
        let walk = StreamWalk(settings: task.settings.source, socketStore: task.settings.socketStore)
        backgroundTasks.start(.streams) { [self] in
            streams.endWalk(isComplete: await self.walk(walk, streams))
            await walk.close()
        }
    }

    /// Walks the streams of the source.
    ///
    /// - Returns: whether every stream was seen.
    private func walk(_ walk: StreamWalk, _ streams: ConsumedStreams) async -> Bool {
        let placement = await flows.placement()
        var place = StreamWalk.Place()
        while !Task.isCancelled {
            do throws(SourceError) {
                guard let step = try await walk.step(place) else {
                    task.logger.debug(
                        "\(streams.figures.count) streams of the source have groups of consumers",
                        metadata: ["phase": "stable"])
                    return true
                }
                place = step.place
                for (database, key) in step.found {
                    streams.note(RefreshKey(database: database, key: key), flow: placement.flow(of: key))
                }
                try? await Task.sleep(for: Self.pause)
            } catch {
                if Task.isCancelled { return false }
                guard error.isTransient else {
                    task.incidents.reportOnce(
                        "\(error): of groups that consumers read without a record, a leave fetches only those that records name (the source's user needs \(StreamWalk.rights))",
                        level: .notice)
                    return false
                }
                try? await Task.sleep(for: Self.failurePause)
            }
        }
        return false
    }
}
