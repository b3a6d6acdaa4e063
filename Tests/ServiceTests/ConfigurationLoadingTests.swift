import Dashboard
import Link
import Logging
import Replication
import Systemd
import Testing

@testable import Service

@Suite struct `A configuration` {
    @Test func `with an empty key prefix gets the default one, with a warning`() throws {
        let loaded = try load(minimal + "checkpoint: {keyPrefix: ''}")
        #expect(loaded.configuration.checkpoint.keyPrefix == "df2redis:checkpoint:")
        #expect(loaded.warnings.map(\.key) == ["checkpoint.keyPrefix"])
        #expect(loaded.warnings.first?.message.contains("df2redis:checkpoint:") == true)
    }

    @Test func `needs only the two addresses`() throws {
        let loaded = try load(minimal)
        let configuration = loaded.configuration
        #expect(loaded.warnings.isEmpty)
        #expect(configuration.source.address == .init(host: "master.example", port: 6379))
        #expect(configuration.target.address == .init(host: "target.example", port: 6380))
        #expect(configuration.taskName == "prod")
        #expect(configuration.stateDirectory == "/var/lib/df2redis/prod")
        #expect(configuration.statusFile == "/var/lib/df2redis/prod/prod.status.json")
        #expect(configuration.checkpoint.path == "/var/lib/df2redis/prod/prod.checkpoint.json")
        #expect(configuration.spool.directory == "/var/lib/df2redis/prod/prod.spool")
        #expect(configuration.spool.memoryBytes == 268_435_456)
        #expect(configuration.spool.diskBytes == 8_589_934_592)
        #expect(configuration.shutdown == .init(drain: .seconds(2), finWait: .seconds(1)))
        #expect(configuration.conflict.policy == .overwrite)
        #expect(configuration.policy == .init(onError: .stop, onUnsupported: .stop))
        #expect(configuration.fullSync.existing == .auto)
        #expect(configuration.dashboard.address == .init(host: "127.0.0.1", port: 7777))
        #expect(configuration.source.login.password == nil)
    }

    @Test func `accepts every key`() throws {
        let yaml = """
            taskName: orders@eu
            stateDir: ../state
            statusFile: /run/df2redis/orders.json
            source:
              type: Dragonfly
              addr: "[2001:db8::1]:6379"
              username: replica
              password: "0123"
              tls:
                enabled: false
                caFile: ca.pem
                certFile: cert.pem
                keyFile: /keys/key.pem
                serverName: master
            target:
              type: valkey
              addr: 10.0.0.2:6380
              tls: false
            dashboard:
              addr: ":7777"
            checkpoint:
              enabled: false
              intervalSeconds: 2.5
              store: file
              path: position.json
              keyPrefix: "df:"
            log:
              level: WARN
              format: json
            conflict:
              policy: skip
            advanced:
              qps: 20000
              batchSize: 64
            shutdown:
              drainSeconds: 0.25
              finWaitSeconds: 5
            spool:
              memoryBytes: 64 mib
              diskBytes: 0
              dir: /spool
            reconnect:
              initialMilliseconds: 50
              maxSeconds: 2
              giveUpSeconds: 0
            policy:
              onError: skip
              onUnsupported: skip
            fullSync:
              existing: replace
            expiry:
              guardSeconds: 12.5
            """
        var expected = Configuration()
        expected.taskName = "orders@eu"
        expected.stateDirectory = "/etc/state"
        expected.statusFile = "/run/df2redis/orders.json"
        expected.source.address = .init(host: "2001:db8::1", port: 6379)
        expected.source.login.username = "replica"
        expected.source.login.password = Secret("0123")
        expected.source.login.passwordOrigin = "source.password"
        expected.source.tls.caFile = "/etc/df2redis/ca.pem"
        expected.source.tls.certificateFile = "/etc/df2redis/cert.pem"
        expected.source.tls.keyFile = "/keys/key.pem"
        expected.source.tls.serverName = "master"
        expected.target.address = .init(host: "10.0.0.2", port: 6380)
        expected.dashboard.address = .init(host: "", port: 7777)
        expected.checkpoint.isEnabled = false
        expected.checkpoint.interval = .milliseconds(2500)
        expected.checkpoint.store = .file
        expected.checkpoint.path = "/etc/df2redis/position.json"
        expected.checkpoint.keyPrefix = "df:"
        expected.log.level = .warning
        expected.log.format = .json
        expected.conflict.policy = .skip
        expected.advanced = .init(commandsPerSecond: 20000, batchSize: 64)
        expected.shutdown = .init(drain: .milliseconds(250), finWait: .seconds(5))
        expected.spool = .init(memoryBytes: 64 << 20, diskBytes: 0, directory: "/spool")
        expected.reconnect = .init(initial: .milliseconds(50), maximum: .seconds(2), giveUp: .zero)
        expected.policy = .init(onError: .skip, onUnsupported: .skip)
        expected.fullSync.existing = .replace
        expected.expiry.guardWindow = .milliseconds(12_500)

        let loaded = try load(yaml)
        #expect(loaded.configuration == expected)
        #expect(
            loaded.warnings.filter { !$0.message.hasPrefix("is not used: ") }.map(\.key) == [
                "taskName", "dashboard.addr",
            ],
            "\(loaded.warnings)")
    }

    @Test func `treats a blank value as a missing one`() throws {
        let blanks = """
            taskName: ""
            log:
              level:
            dashboard:
              addr: ~
            migrate:
            conflict: null
            checkpoint:
              intervalSeconds: 0
            advanced:
              batchSize: 0
              qps: ""

            """
        #expect(try load(blanks + minimal) == load(minimal))
    }

    @Test func `has no dashboard if its address is empty, and is printed so`() throws {
        let loaded = try load(minimal + "dashboard: {addr: \"\"}\n")
        #expect(loaded.configuration.dashboard.address == nil)
        #expect(loaded.configuration.yaml.contains("dashboard:\n  addr: \"\"\n"))
        #expect(try load(loaded.configuration.yaml).configuration == loaded.configuration)
    }

    @Test(arguments: [":8080", "0.0.0.0:80", "[::]:80", "10.0.0.5:7777", "db7:1"])
    func `warns of a dashboard without a token that other hosts can reach`(_ address: String) throws {
        let yaml = minimal + "dashboard: {addr: \"\(address)\"}\n"
        let warning = try #require(try load(yaml).warnings.first)
        #expect(warning.key == "dashboard.addr")
        #expect(warning.message.contains("set dashboard.tokenFile"))
        #expect(try load(yaml.replacing("}", with: ", token: secret}")).warnings.isEmpty)
    }

    @Test(arguments: ["127.0.0.1:80", "[::1]:80", "localhost:0", ""])
    func `needs no token for a dashboard on this host only, or for none`(_ address: String) throws {
        #expect(try load(minimal + "dashboard: {addr: \"\(address)\"}\n").warnings.isEmpty)
    }

    @Test func `of a service warns of a taskName other than the service's`() throws {
        let yaml = "taskName: redis-mig\n" + minimal
        let loaded = try load(yaml)
        #expect(loaded.configuration.taskName == "redis-mig")
        #expect(
            loaded.warnings.map(\.description) == [
                "/etc/df2redis/prod.yaml:1:11: taskName: as a service (df2redis@prod) this file is the task 'prod', with a state of its own; this is the task 'redis-mig': --task-name prod means the service's"
            ])
        #expect(try load(yaml, taskName: "prod").warnings.isEmpty, "as the unit starts it")
        #expect(try load("taskName: prod\n" + minimal).warnings.isEmpty)
        let elsewhere = try ConfigurationLoader(environment: [:]).load(yaml: yaml, file: "/home/dba/prod.yaml")
        #expect(elsewhere.warnings.isEmpty, "no unit reads it there")
    }

    @Test func `warns of a task name that is too long for the control socket's path`() throws {
        let name = String(repeating: "a", count: 80)
        #expect(try load(minimal, taskName: name).warnings.isEmpty)
        let warning = try #require(try load(minimal, taskName: name + "a").warnings.first)
        #expect(warning.message.contains("since /run/df2redis/\(name)a/control.sock is longer than the 107 bytes"))
        #expect(warning.message.hasSuffix("a name of at most 80 letters has one"))
        #expect(ControlSocket(folder: "/run/df2redis/\(name)").path.utf8.count == ControlSocket.longestPath)

        func warnings(in folder: String, _ task: String) throws -> [String] {
            try load(minimal, taskName: task, environment: ["RUNTIME_DIRECTORY": folder]).warnings.map(\.message)
        }
        // With a folder of the unit's own, and with a folder for several tasks.
        #expect(try warnings(in: "/run/df2redis/\(name)", name).isEmpty)
        #expect(try warnings(in: "/tmp/x", String(repeating: "a", count: 87)).isEmpty)
        let long = "/tmp/" + String(repeating: "b", count: 84)
        #expect(try warnings(in: long, "abcd").isEmpty)
        #expect(try warnings(in: long, "abcde").first?.hasSuffix("a name of at most 4 letters has one") == true)
        #expect(try warnings(in: long + long, "a").first?.hasSuffix("RUNTIME_DIRECTORY is too long") == true)
    }

    @Test func `keeps a text as written, even if it has a meaning in YAML`() throws {
        for password in ["0123", "1e3", "yes", "true", "0x1F", "12:30:00", "p#w", "'null'"] {
            let yaml = minimal.replacing("source:\n", with: "source:\n  password: \(password)\n")
            let expected = password.trimmingPrefix("'").prefix { $0 != "'" }
            #expect(try load(yaml).configuration.source.login.password?.reveal() == String(expected))
        }
    }

    @Test(arguments: ["redis", "redis-standalone", "standalone", "valkey", "Redis-Standalone"])
    func `accepts the older names of a standalone target`(_ type: String) throws {
        let yaml = minimal.replacing("target:\n", with: "target:\n  type: \(type)\n")
        #expect(try load(yaml).configuration.target.kind == .standalone)
    }

    @Test(arguments: ["cluster", "redis-cluster", "valkey-cluster", "Redis-Cluster"])
    func `accepts a cluster as the target`(_ type: String) throws {
        let yaml =
            minimal + """
                  type: \(type)
                  database: {0: 0, 3: skip}
                  cluster:
                    seeds: ["10.0.0.2:7000", "10.0.0.3:7000"]
                    addressMap: {"10.0.0.1:6379": "nat.example:7001"}

                """
        let target = try load(yaml).configuration.target
        #expect(target.kind == .cluster)
        #expect(target.clusterSeeds.map(\.host) == ["10.0.0.2", "10.0.0.3"])
        #expect(
            target.clusterAddressMap == [
                .init(host: "10.0.0.1", port: 6379): .init(host: "nat.example", port: 7001)
            ])
        #expect(target.databases == [0: .kept(0), 3: .skip])
        #expect(try load(yaml).warnings.isEmpty)
        #expect(try load(load(yaml).configuration.yaml).configuration.target == target)
        let alone = try load(yaml.replacing("type: \(type)", with: "type: standalone"))
        #expect(alone.warnings.map(\.key) == ["target.cluster.seeds", "target.cluster.addressMap"])
    }

    @Test func `accepts the target's address under older keys`() throws {
        let expected = Endpoint(host: "10.1.1.1", port: 7000)
        for older in ["seed: 10.1.1.1:7000", "cluster: {seeds: [\"10.1.1.1:7000\", \"10.1.1.2:7000\"]}"] {
            let yaml = minimal.replacing("addr: target.example:6380", with: older)
            #expect(try load(yaml).configuration.target.address == expected)
        }
        let both = try load(minimal + "  seed: 10.1.1.1:7000\n".replacing("\n", with: ""))
        #expect(both.configuration.target.address.host == "target.example")
        #expect(both.warnings.map(\.key) == ["target.seed"])
    }

    @Test func `takes task name and state directory from the caller and from systemd`() throws {
        let named = try load("taskName: a\n" + minimal, taskName: "b")
        #expect(named.configuration.taskName == "b")
        #expect(named.configuration.stateDirectory == "/var/lib/df2redis/b")

        let underSystemd = try load(minimal, environment: ["STATE_DIRECTORY": "/var/lib/x:/var/lib/y"])
        #expect(underSystemd.configuration.stateDirectory == "/var/lib/x")
        let explicit = try load("stateDir: s\n" + minimal, environment: ["STATE_DIRECTORY": "/var/lib/x"])
        #expect(explicit.configuration.stateDirectory == "/etc/df2redis/s")
    }

    @Test func `expands no environment variables`() throws {
        let yaml = minimal.replacing("source:\n", with: "source:\n  password: ${HOME}$HOME\n")
        #expect(
            try load(yaml, environment: ["HOME": "/root"]).configuration.source.login.password?.reveal()
                == "${HOME}$HOME")
    }

    @Test func `accepts anchors and aliases up to a number of values`() throws {
        let shared = "source: {addr: &a \"10.0.0.1:1\"}\ntarget: {addr: \"10.0.0.1:2\", cluster: {seeds: [*a]}}\n"
        #expect(try load(shared).configuration.target.clusterSeeds == [.init(host: "10.0.0.1", port: 1)])

        let bomb = (1...9).reduce("a0: &a0 [x]\n") { yaml, level in
            yaml + "a\(level): &a\(level) [" + Array(repeating: "*a\(level - 1)", count: 9).joined(separator: ", ")
                + "]\n"
        }
        #expect(problems(of: bomb).contains { $0.hasSuffix("the document has more than 10000 values") })
    }

    @Test func `may begin with a byte order mark`() throws {
        #expect(try load("\u{FEFF}" + minimal) == load(minimal))
        #expect(problems(of: "\u{FEFF}sauce: 1\n" + minimal)[0].hasPrefix("1:1: sauce: unknown key"))
        let folder = try TemporaryFolder()
        let file = try folder.write("\u{FEFF}" + minimal, to: "orders.yaml")
        #expect(try ConfigurationLoader(environment: [:]).load(file).configuration.taskName == "orders")
    }

    @Test func `has paths relative to its file, and the file's name as the task name`() throws {
        let folder = try TemporaryFolder()
        let file = try folder.write("stateDir: ../out\n" + minimal, to: "conf/orders.v2.yaml")
        let configuration = try ConfigurationLoader(environment: [:]).load(file).configuration
        #expect(configuration.taskName == "orders.v2")
        #expect(configuration.stateDirectory == FilePathText.absolute("out", relativeTo: folder.path))
    }
}
