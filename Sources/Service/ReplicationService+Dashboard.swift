import Base
import Dashboard
import Glibc
import Link

/// The parts of the configuration that the dashboard page and the commands on a running task need.
extension ReplicationService {
    var taskDescription: TaskDescription {
        var task = TaskDescription(name: configuration.taskName)
        task.mode = mode.rawValue
        task.version = Version.current
        task.processID = getpid()
        task.startedAt = WallClock.milliseconds()
        task.configurationFile = FilePathText.inWorkingDirectory(configurationFile)
        task.stateDirectory = configuration.stateDirectory
        task.source = configuration.source.address.description
        task.target = configuration.target.address.description
        task.targetKind = configuration.target.kind.rawValue
        task.checkpoint.isEnabled = configuration.checkpoint.isEnabled
        task.checkpoint.file = configuration.checkpoint.store == .file ? configuration.checkpoint.path : nil
        task.checkpoint.key = configuration.checkpoint.keyPrefix + configuration.taskName
        task.lagHigh = configuration.log.lagHigh == .zero ? nil : configuration.log.lagHigh
        return task
    }

    var serverSettings: DashboardServer.Settings {
        var settings = DashboardServer.Settings()
        settings.address = Self.listenAddress(configuration.dashboard.address)
        settings.token = configuration.dashboard.token.map { BearerToken($0.reveal()) }
        settings.controlSocket = RuntimeDirectory().socket(forNew: configuration.taskName)
        return settings
    }

    private static func listenAddress(_ address: Endpoint?) -> ListenAddress {
        guard let address else { return .none }
        return address == Configuration.Dashboard.standardAddress
            ? .firstFree(host: address.host, port: address.port) : .fixed(host: address.host, port: address.port)
    }
}
