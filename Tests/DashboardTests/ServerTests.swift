import Dragonfly
import Foundation
import Lab
import Link
import Logging
import Replication
import Synchronization
import Testing

@testable import Dashboard

/// A server in this process, with a report that a test feeds.
struct ServerScene {
    let report: TaskReport
    let server: DashboardServer
    let folder: TemporaryFolder
    let log = EventLog()
    let stops = Lock(0)
    let drains = Lock(false)

    init(
        operatorRequests: OperatorRequests? = nil, _ configure: (inout DashboardServer.Settings) -> Void = { _ in }
    ) async throws {
        var task = TaskDescription(name: "prod")
        (task.source, task.target, task.lagHigh) = ("a:1", "b:2", .seconds(30))
        report = TaskReport(task: task)
        folder = try TemporaryFolder("http")
        var settings = DashboardServer.Settings()
        settings.address = .fixed(host: "127.0.0.1", port: 0)
        settings.retryInterval = .milliseconds(20)
        configure(&settings)
        server = DashboardServer(
            settings: settings, report: report,
            logger: log.noting(Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }))
        await server.start(
            TaskControl(operatorRequests: operatorRequests) { [stops, drains] stopRequest in
                stops.withLock { $0 += 1 }
                drains.withLock { $0 = stopRequest.drains }
                return nil
            })
    }

    func port() async throws -> UInt16 {
        try wait(until: "the page listens") { report.url != nil }
        return try #require(report.url?.split(separator: ":").last.flatMap { UInt16($0.dropLast()) })
    }
}

@Suite struct `The HTTP server` {
    @Test func `reports health and readiness, and the reason if the task is unhealthy`() async throws {
        let scene = try await ServerScene()
        let port = try await scene.port()
        var answer = try HTTPClient.get("/health", port: port)
        #expect(answer.status == 200)
        #expect(answer.body == "{\"status\":\"ok\"}\n")
        #expect(try HTTPClient.get("/ready", port: port).status == 503)

        var status = ReplicationStatus(phase: .waiting, source: "a:1", target: "b:2", detail: "refused \"twice\"")
        status.failure = "sourceLost"
        scene.report.take(.phase(status))
        answer = try HTTPClient.get("/health", port: port)
        #expect(answer.status == 503)
        let reason = try answer.object()
        #expect(reason["code"] as? String == "source-lost")
        #expect(reason["reason"] as? String == "refused \"twice\"")

        status.phase = .stable
        scene.report.take(.phase(status))
        #expect(try HTTPClient.get("/ready", port: port).status == 200)
        let object = try HTTPClient.get("/api/status", port: port).object()
        #expect(object["task"] as? String == "prod")
        #expect(object["dashboard"] as? String == scene.report.url)
        await scene.server.stop()
        #expect(scene.report.url == nil)
        #expect(throws: LabError.self) { try HTTPClient.get("/health", port: port) }
    }

    @Test func `logs nothing after it has been made silent`() async throws {
        let taken = try await ServerScene()
        let port = try await taken.port()
        let log = EventLog()
        var settings = DashboardServer.Settings()
        (settings.address, settings.retryInterval) = (.fixed(host: "127.0.0.1", port: port), .milliseconds(20))
        settings.controlSocket = ControlSocket(folder: taken.folder.file("control"))
        let report = TaskReport(task: TaskDescription(name: "prod"))
        let server = DashboardServer(
            settings: settings, report: report,
            logger: log.noting(Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }))
        server.beSilent()
        await server.start(TaskControl(operatorRequests: nil) { _ in nil })
        await taken.server.stop()
        try wait(until: "the page listens") { report.url != nil }
        #expect(log.latest.isEmpty, "\(log.latest)")
        await server.stop()
    }

    @Test func `is read-only, and answers unknown paths with 404`() async throws {
        let scene = try await ServerScene()
        let port = try await scene.port()
        for path in ["/nothing", "/api", "/api/status/", "/../etc/passwd", "/%00", "//health", "/api/stop"] {
            #expect(try HTTPClient.get(path, port: port).status == 404, "\(path)")
        }
        #expect(try HTTPClient.get("/health?verbose=1", port: port).status == 200)
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
            let answer = try HTTPClient(port: port).request("/api/status", method: method)
            #expect(answer.status == 405, "\(method)")
            #expect(answer.headers["allow"] == "GET, HEAD")
        }
        #expect(try HTTPClient(port: port).request("/api/stop", method: "POST").status == 405)
        #expect(scene.stops.withLock { $0 } == 0)
        let head = try HTTPClient(port: port).request("/health", method: "HEAD")
        #expect(head.status == 200)
        #expect(head.body.isEmpty)
        #expect(head.headers["content-length"] == "16")
        let answer = try HTTPClient.get("/api/status", port: port, headers: ["Origin": "http://elsewhere"])
        #expect(answer.headers["access-control-allow-origin"] == nil)
        #expect(answer.headers["cache-control"] == "no-store")
        await scene.server.stop()
    }

    @Test func `closes a connection with a request that is not HTTP, with 400 or no answer`() async throws {
        let scene = try await ServerScene()
        let port = try await scene.port()
        for nonsense in [
            "\u{16}\u{03}\u{01}\u{02}\u{00}\u{01}", "GET\r\n\r\n", "*1\r\n$4\r\nPING\r\n", "G\u{0}T / HTTP/1.1\r\n\r\n",
        ] {
            let client = try HTTPClient(port: port)
            client.write(nonsense)
            let answer = try client.readAll()
            #expect(answer.isEmpty || answer.hasPrefix("HTTP/1.1 400"), "\(nonsense.debugDescription): \(answer)")
        }
        #expect(try HTTPClient.get("/health", port: port).status == 200)
        await scene.server.stop()
    }

    @Test func `answers 401 if a token is set and the request has none or another one`() async throws {
        let scene = try await ServerScene { $0.token = BearerToken("s3cret") }
        let port = try await scene.port()
        for path in ["/health", "/ready", "/api/status", "/nothing"] {
            for header in [
                nil, "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3cret2", "Bearer S3CRET", "Basic s3cret", "s3cret",
            ] {
                let answer = try HTTPClient.get(path, port: port, headers: header.map { ["Authorization": $0] } ?? [:])
                #expect(answer.status == 401, "\(path) \(header ?? "")")
                #expect(answer.headers["www-authenticate"]?.hasPrefix("Bearer") == true)
                #expect(!answer.body.contains("s3cret"))
            }
        }
        for header in ["Bearer s3cret", "bearer s3cret"] {
            #expect(try HTTPClient.get("/health", port: port, headers: ["Authorization": header]).status == 200)
        }
        await scene.server.stop()
    }

    @Test func `refuses foreign Host names if no token is set`() async throws {
        func status(_ scene: ServerScene, _ path: String, host: String) async throws -> String {
            let client = try HTTPClient(port: try await scene.port())
            client.write("GET \(path) HTTP/1.1\r\nHost: \(host)\r\nConnection: close\r\n\r\n")
            return String(try client.readAll().dropFirst("HTTP/1.1 ".count).prefix(3))
        }
        let open = try await ServerScene()
        for (path, refused) in [("/", "421"), ("/api/status", "421"), ("/health", "200"), ("/metrics", "200")] {
            #expect(try await status(open, path, host: "rebound.example:7777") == refused)
            #expect(try await status(open, path, host: "127.0.0.1:7777") == "200")
        }
        await open.server.stop()
        let guarded = try await ServerScene { $0.token = BearerToken("s3cret") }
        #expect(try await status(guarded, "/", host: "behind.proxy.example") == "200")
        #expect(try await status(guarded, "/api/status", host: "behind.proxy.example") == "401")
        await guarded.server.stop()
    }

    @Test func `accepts addresses, localhost and its own names as Host, and no others`() {
        let names = ServedNames(.fixed(host: "Page.corp.example", port: 7777), host: "db1.corp.example")
        for host in [
            nil, "", "127.0.0.1", "127.0.0.1:7777", "10.0.0.5:80", "[::1]:7777", "[2001:db8::1]", "localhost",
            "LOCALHOST:7777", "prod.localhost:7777", "db1", "db1:7777", "DB1.corp.example.:7777", "page.corp.example:1",
        ] { #expect(names.accepts(host), "\(host ?? "none")") }
        for host in [
            "rebound.example", "rebound.example:7777", "127.0.0.1.rebound.example", "db1.rebound.example",
            "localhost.rebound.example", "corp.example", "[rebound.example]:7777", "1.2.3", ":7777",
        ] { #expect(!names.accepts(host), "\(host)") }
        #expect(!ServedNames(.fixed(host: "", port: 7777), host: "db1").accepts(":7777"))
        #expect(!ServedNames(.fixed(host: "10.0.0.5", port: 7777), host: "db1").accepts("10"))
    }

    @Test func `refuses headers, addresses and bodies that are too large`() async throws {
        let scene = try await ServerScene()
        let port = try await scene.port()
        let large = String(repeating: "x", count: 1 << 20)
        let requests = [
            "GET /health HTTP/1.1\r\nHost: a\r\nX: \(large)\r\n\r\n", "GET /\(large) HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /health HTTP/1.1\r\n" + (0..<1000).map { "X\($0): y\r\n" }.joined() + "\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(large.utf8.count)\r\n\r\n\(large)",
        ]
        for request in requests {
            let client = try HTTPClient(port: port)
            client.write(request)
            let answer = (try? client.readAll()) ?? ""
            #expect(answer.isEmpty || answer.hasPrefix("HTTP/1.1 4"), "\(request.prefix(40)): \(answer.prefix(80))")
        }
        #expect(try HTTPClient.get("/health", port: port).status == 200)
        await scene.server.stop()
    }

    @Test func `closes the connections of slow clients, and serves others meanwhile`() async throws {
        let scene = try await ServerScene {
            $0.limits.connections = 8
            $0.limits.answerTime = .milliseconds(500)
        }
        let port = try await scene.port()
        // Nothing, half a request, a body that does not come; more clients than connections are allowed.
        let slow = try (0..<12).map { number in
            let client = try HTTPClient(port: port)
            client.write(
                ["", "GET /hea", "GET /health HTTP/1.1\r\nHost:", "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n"][
                    number % 4])
            return client
        }
        #expect(try HTTPClient.get("/health", port: port).status == 200)
        for client in slow { _ = try client.readAll() }
        await scene.server.stop()
    }

    @Test func `serves thousands of requests on one connection`() async throws {
        // Beside a thousand other tests, a single answer may take long.
        let scene = try await ServerScene { $0.limits.answerTime = .seconds(300) }
        let client = try HTTPClient(port: try await scene.port())
        for _ in 0..<2000 { client.write("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n") }
        client.write("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        #expect(try client.readAll().components(separatedBy: "HTTP/1.1 200 OK").count == 2002)
        await scene.server.stop()
    }

    // MARK: Addresses

    @Test func `listens on the next free port if the usual one is taken`() async throws {
        let taken = try Listener()
        let scene = try await ServerScene { $0.address = .firstFree(host: "127.0.0.1", port: taken.port) }
        let port = try await scene.port()
        #expect(port != taken.port)
        #expect(try HTTPClient.get("/health", port: port).status == 200)
        #expect(scene.log.latest.map(\.message) == ["the task's page is http://127.0.0.1:\(port)/"])
        await scene.server.stop()
    }

    @Test func `reports once that its address is taken, and listens as soon as it is free`() async throws {
        var taken: Listener? = try Listener()
        let port = try #require(taken?.port)
        let scene = try await ServerScene { $0.address = .fixed(host: "127.0.0.1", port: port) }
        try wait(until: "it is reported") { !scene.log.latest.isEmpty }
        try await Task.sleep(for: .milliseconds(100))
        #expect(scene.log.latest.count == 1)
        #expect(scene.log.latest.first?.message.contains("127.0.0.1:\(port): Address already in use") == true)
        #expect(scene.report.url == nil)
        taken = nil
        #expect(try await scene.port() == port)
        #expect(try HTTPClient.get("/health", port: port).status == 200)
        await scene.server.stop()
    }

    @Test func `listens on all interfaces if no host is given, and its URL names the machine`() async throws {
        let scene = try await ServerScene { $0.address = .fixed(host: "", port: 0) }
        let port = try await scene.port()
        #expect(scene.report.url?.contains("[::]") == false)
        #expect(try HTTPClient.get("/health", port: port).status == 200)
        await scene.server.stop()
    }

    @Test func `reports a host that does not exist, and can still be stopped`() async throws {
        let scene = try await ServerScene { $0.address = .fixed(host: "no-such-host.invalid", port: 7777) }
        try wait(until: "it is reported") { !scene.log.latest.isEmpty }
        await scene.server.stop()
    }

    // MARK: The Unix socket

    @Test func `accepts an order to stop over the Unix socket only`() async throws {
        let folder = try TemporaryFolder("run")
        let socket = ControlSocket(folder: folder.file("prod"))
        let scene = try await ServerScene {
            $0.token = BearerToken("s3cret")
            $0.controlSocket = socket
        }
        try wait(until: "the socket is open") { (try? HTTPClient(socket: socket.path)) != nil }
        #expect(try HTTPClient(socket: socket.path).request("/api/status").status == 200)
        #expect(try HTTPClient(socket: socket.path).request("/api/stop").status == 405)
        #expect(scene.stops.withLock { $0 } == 0)
        #expect(try HTTPClient(socket: socket.path).request("/api/stop", method: "POST").status == 202)
        #expect(scene.stops.withLock { $0 } == 1)
        #expect(scene.drains.withLock { $0 })
        #expect(try HTTPClient(socket: socket.path).request("/api/stop?drain=no", method: "POST").status == 202)
        #expect(scene.stops.withLock { $0 } == 2)
        #expect(!scene.drains.withLock { $0 })
        await scene.server.stop()
        #expect(throws: LabError.self) { try HTTPClient(socket: socket.path) }
    }

    @Test func `reports the flows' current positions over the Unix socket only`() async throws {
        let folder = try TemporaryFolder("run")
        let socket = ControlSocket(folder: folder.file("prod"))
        let scene = try await ServerScene { $0.controlSocket = socket }
        try wait(until: "the socket is open") { (try? HTTPClient(socket: socket.path)) != nil }
        var body = try HTTPClient(socket: socket.path).request("/api/positions").body
        #expect(
            body == "{\"nextLSNs\":[],\"phase\":\"connecting\",\"pid\":0,\"session\":0,\"targetLost\":false}\n")
        var status = ReplicationStatus(phase: .stable, source: "a:1", target: "b:2")
        status.session = 3
        scene.report.take(.phase(status))
        let lsns = Lock<[LSN?]>([LSN(7), nil])
        scene.report.setPositions { lsns.withLock { $0 } }
        body = try HTTPClient(socket: socket.path).request("/api/positions").body
        let positions = try PositionsDocument(json: body)
        #expect(positions.phase == .stable && positions.session == 3)
        #expect(positions.nextLSNs == [7, nil])
        #expect(!positions.isStable, "a flow has no position yet")
        // The task has reported nothing in between.
        lsns.withLock { $0 = [LSN(8), LSN(1)] }
        #expect(try HTTPClient(socket: socket.path).request("/api/positions").body.contains("[8,1]"))
        #expect(try HTTPClient.get("/api/positions", port: try await scene.port()).status == 404)
        await scene.server.stop()
    }

    /// A connection that is set up but never handled would crash the process.
    @Test func `stops while clients keep connecting`() async throws {
        let folder = try TemporaryFolder("run")
        for round in 0..<10 {
            let socket = ControlSocket(folder: folder.file("prod\(round)"))
            let scene = try await ServerScene { $0.controlSocket = socket }
            try wait(until: "the socket is open") { (try? HTTPClient(socket: socket.path)) != nil }
            let isOver = Lock(false)
            for _ in 0..<3 {
                Thread {
                    while !isOver.withLock({ $0 }) {
                        _ = try? HTTPClient(socket: socket.path).request("/api/status")
                    }
                }.start()
            }
            try await Task.sleep(for: .milliseconds(30))
            await scene.server.stop()
            isOver.withLock { $0 = true }
        }
    }

    /// Leaves a socket file as a killed process does.
    private func leaveSocket(at path: String) {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        let size = socklen_t(MemoryLayout<sockaddr_un>.size)
        withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { _ = bind(descriptor, $0, size) }
        }
        close(descriptor)
    }

    @Test func `replaces a socket that a killed task has left, but not that of a running task`() async throws {
        let folder = try TemporaryFolder("run")
        let socket = ControlSocket(folder: folder.path)
        leaveSocket(at: socket.path)
        let first = try await ServerScene { $0.controlSocket = socket }
        try wait(until: "the socket is open") { (try? HTTPClient(socket: socket.path)) != nil }
        let second = try await ServerScene { $0.controlSocket = socket }
        try wait(until: "it is reported") {
            second.log.latest.contains { $0.message.contains("belongs to a task that runs") }
        }
        await second.server.stop()
        #expect(try HTTPClient(socket: socket.path).request("/health").status == 200)
        await first.server.stop()
    }
}
