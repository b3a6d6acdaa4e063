import Base
import Glibc
import HummingbirdCore
package import Logging
import NIOCore
import NIOPosix

/// The task's HTTP server: it serves the page and the figures over TCP and over a Unix socket, and requests such as a stop
/// over the Unix socket alone.
///
/// It has one thread of its own and never delays the replication. A page that cannot be opened is logged once and tried
/// again, a Unix socket that cannot be opened is only logged. The cost of clients is limited (`ConnectionLimits`).
package actor DashboardServer {
    package struct Settings: Sendable {
        package var address = ListenAddress.none
        package var token: BearerToken?
        /// The Unix socket; `nil` for none.
        package var controlSocket: ControlSocket?
        package var limits = ConnectionLimits()
        /// The time before the page is tried again if it cannot be opened.
        package var retryInterval = Duration.seconds(5)

        package init() {}
    }

    private static let stopLimit = Duration.seconds(2)

    private let settings: Settings
    private let report: TaskReport
    private let logger: Logger
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let executor: EventLoopExecutor
    private let open = OpenConnections()
    private var tasks: [Task<Void, Never>] = []
    private let isControlOpen = Lock(false)
    private let isSilent = Lock(false)

    package init(settings: Settings, report: TaskReport, logger: Logger) {
        self.settings = settings
        self.report = report
        self.logger = logger
        executor = EventLoopExecutor(group.next())
    }

    /// Opens the sockets in the background, and returns at once.
    ///
    /// - Parameter control: the requests that are allowed over the Unix socket.
    package func start(_ control: TaskControl) {
        if settings.address != .none {
            let routes = Routes(report: report, access: networkAccess)
            tasks.append(Task(executorPreference: executor) { [self] in await servePage(routes) })
        }
        if let socket = settings.controlSocket {
            let routes = Routes(report: report, access: .control(control))
            tasks.append(Task(executorPreference: executor) { [self] in await serveControl(socket, routes) })
        }
    }

    private var networkAccess: Routes.Access {
        if let token = settings.token { return .guarded(token) }
        let names = ServedNames(settings.address)
        names.learnCanonicalName()
        return .open(names)
    }

    /// Stops logging: the task ends, and the last lines of the log are to give the reason.
    package nonisolated func beSilent() { isSilent.withLock { $0 = true } }

    private nonisolated func say(_ text: Logger.Message, level: Logger.Level = .notice) {
        isSilent.withLock { if !$0 { logger.log(level: level, text) } }
    }

    /// Closes everything. It waits for `stopLimit` at most, because a name server may not answer and the process ends now.
    package func stop() async {
        beSilent()
        await open.stop()
        for task in tasks { task.cancel() }
        open.closeAll()
        report.url = nil
        if isControlOpen.withLock({ $0 }) { settings.controlSocket?.remove() }
        let (ends, end) = AsyncStream.makeStream(of: Void.self)
        let closing = Task { [tasks, group] in
            for task in tasks { await task.value }
            // Lets the loop register, and close, a connection that was accepted last.
            for _ in 0..<2 { try? await group.next().submit {}.get() }
            try? await group.shutdownGracefully()
            end.yield()
        }
        let limit = Task {
            try? await Task.sleep(for: Self.stopLimit)
            end.yield()
        }
        for await _ in ends { break }
        limit.cancel()
        closing.cancel()
        tasks = []
    }

    // MARK: TCP

    private nonisolated func servePage(_ routes: Routes) async {
        var didReport = false
        while !Task.isCancelled {
            var failure = "no port is free"
            for host in settings.address.hosts {
                for port in settings.address.ports where !Task.isCancelled {
                    do {
                        try await serve(.hostname(host, port: Int(port)), routes, settings.limits) { [self] channel in
                            pageIsOpen(at: channel.localAddress?.port ?? Int(port))
                        }
                        report.url = nil
                        if Task.isCancelled { return }
                    } catch {
                        failure = Self.reason(error)
                    }
                }
            }
            if Task.isCancelled { return }
            if !didReport {
                say(
                    "the page cannot listen on \(settings.address.description): \(failure). The replication goes on without it, and it is tried again every \(settings.retryInterval.components.seconds) s (dashboard.addr)",
                    level: .warning)
            }
            didReport = true
            try? await Task.sleep(for: settings.retryInterval)
        }
    }

    private nonisolated func pageIsOpen(at port: Int) {
        let host: String
        switch settings.address {
        case .none: return
        case .fixed(let name, _), .firstFree(let name, _): host = name.isEmpty ? hostName() : name
        }
        let url = "http://\(ListenAddress.text(host, UInt16(clamping: port)))/"
        report.url = url
        say("the task's page is \(url)")
    }

    // MARK: The Unix socket

    private nonisolated func serveControl(_ socket: ControlSocket, _ routes: Routes) async {
        do {
            try socket.prepare()
            var limits = settings.limits
            limits.requestBytes += KeyListBody.longest
            try await serve(.unixDomainSocket(path: socket.path), routes, limits) { [self] _ in
                isControlOpen.withLock { $0 = true }
                do throws(SystemError) {
                    try socket.restrict()
                } catch {
                    say("\(error): only this process's user can use it")
                }
            }
        } catch {
            say(
                "no control socket: \(Self.reason(error)). 'df2redis status', 'stop', 'verify', 'refresh' and 'cutover' do not reach this task",
                level: .warning)
        }
    }

    // MARK: Both

    /// Serves until the task is cancelled.
    ///
    /// - Throws: when the socket cannot be opened.
    private nonisolated func serve(
        _ address: BindAddress, _ routes: Routes, _ limits: ConnectionLimits,
        onOpen: @escaping @Sendable (any Channel) -> Void
    ) async throws {
        var quiet = Logger(label: logger.label) { _ in SwiftLogNoOpLogHandler() }
        quiet.logLevel = .critical
        let server = Server(
            childChannelSetup: HTTPService(limits: limits, open: open, takesBodies: routes.takesBodies) {
                routes.respond(to: $0, body: $1)
            },
            configuration: ServerConfiguration(
                address: address,
                availableConnectionsDelegate: MaximumAvailableConnections(limits.connections, logger: quiet)),
            onServerRunning: { onOpen($0) }, eventLoopGroup: group, logger: quiet)
        try await server.run()
    }

    private static func reason(_ error: any Error) -> String {
        switch error {
        case let error as IOError: String(cString: strerror(error.errnoCode))
        default: "\(error)"
        }
    }
}
