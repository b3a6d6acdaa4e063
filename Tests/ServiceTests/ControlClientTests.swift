import Dashboard
import Lab
import Logging
import Replication
import Testing

@testable import Service

@Suite struct `A command on a running task` {
    /// A daemon that can only stop its task answers as those did that were older than these commands.
    @Test func `reports that an older daemon does not know the request`() async throws {
        let folder = try Lab.TemporaryFolder("run")
        let socket = ControlSocket(folder: folder.file("prod"))
        var settings = DashboardServer.Settings()
        settings.controlSocket = socket
        let server = DashboardServer(
            settings: settings, report: TaskReport(task: TaskDescription(name: "prod")),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        await server.start(TaskControl { _ in "it goes on" })
        let client = ControlClient(socket)
        try wait(until: "the socket is open") { (try? client.processID()) != nil }
        func expectOutdated(_ question: () throws(ControlClient.Failure) -> Void) {
            do throws(ControlClient.Failure) {
                try question()
                Issue.record("it was answered")
            } catch {
                #expect(error.exitStatus == .notDone)
                #expect("\(error)".hasSuffix("is of an older version and does not know this: restart the task"))
            }
        }
        expectOutdated { () throws(ControlClient.Failure) in _ = try client.streams() }
        expectOutdated { () throws(ControlClient.Failure) in _ = try client.verify(keysPerSecond: 1) }
        expectOutdated { () throws(ControlClient.Failure) in _ = try client.refresh([], keysPerSecond: 1) }
        // A task that refuses to stop says why.
        do throws(ControlClient.Failure) {
            try client.stop(TaskControl.Stop(isCutover: true))
            Issue.record("it was stopped")
        } catch {
            #expect("\(error)" == "it goes on")
        }
        await server.stop()
    }
}
