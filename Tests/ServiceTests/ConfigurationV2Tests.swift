import Logging
import Testing

@testable import Service

/// The keys of df2redis v2.x, in files as its users wrote them.
@Suite struct `A configuration of v2` {
    @Test func `with every key loads, with warnings about keys without a meaning`() throws {
        let yaml = """
            taskName: "nightly"
            stateDir: ../out
            statusFile: ../out/status.json

            source:
              type: dragonfly
              addr: 127.0.0.1:6379       # the master
              password: ""
              tls: false

            target:
              type: redis-standalone
              addr: 127.0.0.1:6380
              password: "secret"
              tls: false
              cluster:
                seeds: []

            dashboard:
              addr: ":7777"

            checkpoint:
              enabled: "true"
              intervalSeconds: "10"
              path: ""

            log:
              dir: "../log"
              level: "debug"
              consoleEnabled: true

            conflict:
              policy: "overwrite"

            advanced:
              qps: 0
              batchSize: 500

            migrate:
              snapshotPath: ../tmp/placeholder.rdb
              shakeBinary: ../shake
              shakeArgs: ""
              shakeConfigFile: ""
              autoBgsave: "false"
              bgsaveTimeoutSeconds: 300
              snapshotOnly: false
            """
        let loaded = try load(yaml)
        let configuration = loaded.configuration
        #expect(configuration.taskName == "nightly")
        #expect(configuration.stateDirectory == "/etc/out")
        #expect(configuration.statusFile == "/etc/out/status.json")
        #expect(configuration.target.login.password == Secret("secret"))
        #expect(configuration.checkpoint.interval == .seconds(10))
        #expect(configuration.checkpoint.isEnabled)
        #expect(configuration.log.level == .debug)

        #expect(
            loaded.warnings.map { "\($0.position?.line ?? 0) \($0.key ?? "")" } == [
                "1 taskName", "20 dashboard.addr", "28 log.dir", "30 log.consoleEnabled", "40 migrate.snapshotPath",
                "41 migrate.shakeBinary",
                "42 migrate.shakeArgs", "43 migrate.shakeConfigFile", "44 migrate.autoBgsave",
                "45 migrate.bgsaveTimeoutSeconds", "46 migrate.snapshotOnly",
            ])
        #expect(
            loaded.warnings.first { $0.key == "log.dir" }?.description
                == "/etc/df2redis/prod.yaml:28:3: log.dir: has no meaning in this version and is ignored: "
                + "the log goes to the systemd journal, or to standard error")
    }

    @Test func `for a single migration loads`() throws {
        let yaml = """
            source:
              type: dragonfly
              addr: localhost:6379
              tls: false
            target:
              type: redis
              addr: localhost:6380
              cluster:
                 seeds: []
            stateDir: ../out
            statusFile: ../out/status-migrate.json
            migrate:
              autoBgsave: false
              bgsaveTimeoutSeconds: 300
            advanced:
              qps: 0
              batchSize: 500
            log:
              dir: "../log"
              level: "info"
            """
        #expect(
            try load(yaml).warnings.map(\.key) == ["migrate.autoBgsave", "migrate.bgsaveTimeoutSeconds", "log.dir"])
    }

    @Test func `without a checkpoint section has checkpoints enabled`() throws {
        #expect(try load(minimal).configuration.checkpoint.isEnabled)
    }

    @Test func `warns if its checkpoint file is not used`() throws {
        let withFile = minimal + "\ncheckpoint:\n  path: ../out/checkpoint.json\n"
        #expect(try load(withFile).warnings.map(\.key) == ["checkpoint.path"])
        #expect(try load(withFile + "  store: file\n").warnings.isEmpty)
    }
}
