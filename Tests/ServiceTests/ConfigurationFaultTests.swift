import Testing

@testable import Service

@Suite struct `A faulty configuration` {
    @Test func `is reported with all its faults at once, in the order of the file`() {
        let yaml = """
            taskName: "a b"
            source:
              adr: 1.2.3.4:6379
              tls: true
              password: [a]
            target:
              type: redis-cluster
              addr: localhost
              addr: localhost:1
            advanced:
              batch_size: 5
              qps: many
            drainSeconds: 3
            log: debug
            """
        #expect(
            problems(of: yaml) == [
                "1:11: taskName: expected 1 to 128 letters, digits, '.', '_', '@' and '-', found \"a b\"",
                "2:1: source.addr: is required: the host:port of the Dragonfly master",
                "3:3: source.adr: unknown key; did you mean 'addr'?",
                "5:13: source.password: expected text, found a list",
                "8:9: target.addr: expected host:port, an IPv6 address as \"[2001:db8::1]:6379\", found \"localhost\"",
                "9:3: target.addr: occurs twice; the first is in line 8",
                "11:3: advanced.batch_size: unknown key; did you mean 'batchSize'?",
                "12:8: advanced.qps: expected a whole number from 0 to 100000000, found \"many\"",
                "13:1: drainSeconds: unknown key here; did you mean 'shutdown.drainSeconds'?",
                "14:6: log: expected a section with keys of its own: level, format, lagHighSeconds",
            ])
    }

    @Test(arguments: [
        ("sources: {}", "5:1: sources: unknown key; did you mean 'source'?"),
        ("chekpoint: {}", "5:1: chekpoint: unknown key; did you mean 'checkpoint'?"),
        ("Spool: {}", "5:1: Spool: unknown key; did you mean 'spool'?"),
        ("spool: {memroyBytes: 1GiB}", "5:9: spool.memroyBytes: unknown key; did you mean 'memoryBytes'?"),
        ("spool: {zebra: 1}", "5:9: spool.zebra: unknown key; valid here: memoryBytes, diskBytes, dir"),
        ("addr: x", "5:1: addr: unknown key here; did you mean 'source.addr' or 'target.addr' or 'dashboard.addr'?"),
        ("migrate: {snapshot_path: x}", "5:11: migrate.snapshot_path: unknown key; did you mean 'snapshotPath'?"),
        ("<<: {spool: {}}", "5:1: <<: unknown key; valid here: "),
    ])
    func `is reported with the key that was probably meant`(_ line: String, _ expected: String) throws {
        let found = try #require(problems(of: minimal + line).first)
        #expect(found.hasPrefix(expected))
    }

    @Test(arguments: [
        (
            "spool: {memoryBytes: 1023KiB}",
            "expected a size from 1MiB to 1TiB, in bytes or with KiB, MiB, GiB, TiB, found \"1023KiB\""
        ),
        ("spool: {memoryBytes: 256MB}", "KiB, MiB, GiB, TiB, found \"256MB\""),
        ("spool: {diskBytes: -1}", "expected a size from 0 to 16TiB, in bytes or with KiB, MiB, GiB, TiB, found -1"),
        ("spool: {diskBytes: 99999999999TiB}", "found \"99999999999TiB\""),
        ("shutdown: {drainSeconds: 20.001}", "expected seconds from 0 to 20, found 20.001"),
        ("shutdown: {drainSeconds: 2s}", "expected seconds from 0 to 20, found \"2s\""),
        ("shutdown: {finWaitSeconds: 0}", "expected seconds from 0.1 to 5, found 0"),
        ("shutdown: {drainSeconds: nan}", "expected seconds from 0 to 20, found nan"),
        ("reconnect: {initialMilliseconds: 9}", "expected milliseconds from 10 to 60000, found 9"),
        ("reconnect: {maxSeconds: 3601}", "expected seconds from 0.1 to 3600, found 3601"),
        ("advanced: {batchSize: 100001}", "expected a whole number from 1 to 100000, found 100001"),
        ("advanced: {batchSize: 1.5}", "expected a whole number from 1 to 100000, found 1.5"),
        ("advanced: {qps: {}}", "expected a whole number from 0 to 100000000, found a section"),
        ("checkpoint: {enabled: yes}", "expected true or false, found \"yes\""),
        ("checkpoint: {intervalSeconds: 0.5}", "expected seconds from 1 to 3600, found 0.5"),
        (
            "conflict: {policy: overwite}",
            "expected overwrite, skip or panic, found \"overwite\"; did you mean 'overwrite'?"
        ),
        ("fullSync: {existing: 7}", "expected auto, replace, flush or reconcile, found 7"),
        ("log: {level: verbose}", "expected trace, debug, info, notice, warning, error or critical, found \"verbose\""),
        ("dashboard: {addr: 8080}", "expected host:port or :port, found 8080"),
        ("dashboard: {addr: \":65536\"}", "expected host:port or :port, found \":65536\""),
    ])
    func `is reported with what was expected and what was found`(_ line: String, _ expected: String) {
        let found = problems(of: minimal + line)
        #expect(found.count == 1)
        #expect(found.first?.hasPrefix("5:") == true)
        #expect(found.first?.hasSuffix(expected) == true, "\(found)")
    }

    @Test func `is reported with all faults of lists and of sections with free keys`() {
        #expect(
            problems(of: minimal + "  database: {0: 1, x: skip, 3: drop}\n") == [
                "5:13: target.database: database 0 cannot be written to database 1: keys keep the number of their database, or skip it",
                "5:20: target.database: expected the number of a database, found \"x\"",
                "5:32: target.database: expected the database's own number, or skip, found \"drop\"",
            ])
        let lists = "  cluster: {seeds: [a, \"b:1\", c], addressMap: {a: b}}\n  type: cluster\n"
        #expect(problems(of: minimal + lists).count == 4)
        #expect(
            problems(of: minimal + "monitor: {patterns: [a, '', b], hook: {url: nourl}}") == [
                "5:25: monitor.patterns: expected text, found \"\"",
                "5:45: monitor.hook.url: expected a URL that begins with http:// or https://, found another text",
            ])
    }

    @Test(arguments: [
        "host", "host:", ":6379", "host:0", "host:65536", "host:+1", "host:6379:1", "2001:db8::1:6379", "[::1]",
        "\"[host]:1\"", "\"[::1\"", "\"[::1%]:1\"", "\"a b:1\"", "redis://host:6379", "user:pw@host:6379", "host/1:1",
    ])
    func `is rejected for an invalid address`(_ address: String) {
        let found = problems(of: minimal.replacing("master.example:6379", with: address))
        #expect(found.count == 1)
        #expect(!found.joined().contains("pw"))
    }

    @Test func `is rejected for a target that is also the source`() {
        let found = problems(of: minimal.replacing("target.example:6380", with: "master.example:6379"))
        #expect(found == ["4:9: target.addr: is the source's own address; a server cannot be kept equal to itself"])
    }

    @Test func `is rejected for values that a cluster cannot have`() {
        let cluster = minimal + "  type: redis-cluster\n"
        #expect(
            problems(of: cluster + "checkpoint: {store: file}") == [
                "6:21: checkpoint.store: a file cannot say what a cluster's nodes have applied or lost: set it to target "
                    + "(target.type: cluster)"
            ])
        #expect(
            problems(of: cluster + "  database: {0: 0, 3: 0}\n") == [
                "6:13: target.database: database 3 cannot be written to database 0: keys keep the number of their "
                    + "database, or skip it"
            ])
        #expect(
            problems(of: cluster + "  database: {3: skipp}\n") == [
                "6:17: target.database: expected the database's own number, or skip, found \"skipp\"; did you mean 'skip'?"
            ])
        #expect(
            problems(of: cluster + "  database: [0]\n") == [
                "6:13: target.database: expected a section such as {0: 0, 3: skip}"
            ])
        #expect(
            problems(of: cluster + "  cluster: {addressMap: {\"10.0.0.1\": \"nat:1\"}}\n").first?
                .hasPrefix("6:26: target.cluster.addressMap: expected host:port") == true)
    }

    @Test func `is rejected for values that contradict each other`() {
        #expect(
            problems(of: minimal + "reconnect: {initialMilliseconds: 2000, maxSeconds: 1}") == [
                "5:34: reconnect.initialMilliseconds: the first wait (initialMilliseconds) is longer than the longest "
                    + "(maxSeconds)"
            ])
        #expect(
            problems(of: minimal + "conflict: {policy: skip}\nfullSync: {existing: flush}") == [
                "6:22: fullSync.existing: 'flush' removes keys of the target that conflict.policy 'skip' is to keep"
            ])
        #expect(
            problems(of: minimal.replacing("target:\n", with: "target:\n  username: app\n")) == [
                "4:13: target.username: needs a password: set target.password or target.passwordFile, or give it as the systemd credential 'prod.target-password', which only root and the task's unit can read"
            ])
    }

    @Test func `is rejected for a source that is no Dragonfly`() {
        let found = problems(of: minimal.replacing("source:\n", with: "source:\n  type: redis\n"))
        #expect(found == ["2:9: source.type: expected dragonfly, found \"redis\""])
    }

    @Test(arguments: ["", "# nothing\n", "---\n", "null\n", "{}\n"])
    func `is rejected for missing keys if it is empty`(_ yaml: String) {
        #expect(
            problems(of: yaml)
                == [
                    "/etc/df2redis/prod.yaml: target.addr: is required: the host:port of the Redis or Valkey server",
                    "/etc/df2redis/prod.yaml: source.addr: is required: the host:port of the Dragonfly master",
                ].map { $0.replacing("/etc/df2redis/prod.yaml:", with: "") })
    }

    @Test func `is rejected for a task name that cannot be part of a file's name`() {
        for name in ["a/b", "..", ".", "", "näme", String(repeating: "a", count: 129)] {
            #expect(throws: ConfigurationError.self) { try load(minimal, taskName: name) }
        }
        #expect(throws: ConfigurationError.self) {
            try ConfigurationLoader(environment: [:]).load(yaml: minimal, file: "/etc/my task.yaml")
        }
    }

    @Test(arguments: [
        ("source:\n  addr: [::1]:6379\n", 2), ("source: {addr: a:1\n", 2), ("a: b: c\n", 1), ("\tsource:\n", 1),
        ("source:\n  addr: a:1\n addr: b\n", 3), ("- a\n- b\n", 1), ("text\n", 1), ("a: 1\n---\nb: 2\n", 2),
        ("? [a]\n: b\n", 1), ("a: *b\n", 1), ("source: {addr: \"a:1\", addr: \"b:1\"}\n", 1), ("a: \u{1}\n", 1),
    ])
    func `is rejected with the line of what is not YAML or not supported`(_ yaml: String, _ line: Int) throws {
        let error = try #require(throws: ConfigurationError.self) { try load(yaml) }
        #expect(error.problems.first?.position?.line == line, "\(error)")
        #expect(error.exitStatus == .misconfigured)
    }

    @Test func `is rejected with a reason, wherever it is cut off or doubled`() {
        let whole = minimal + "log:\n  level: info\nshutdown: {drainSeconds: 1}\nspool:\n  dir: \"/s\"\n"
        let lines = whole.split(separator: "\n").count
        var loaded = 0
        for offset in 0...whole.utf8.count {
            let head = String(decoding: whole.utf8.prefix(offset), as: UTF8.self)
            for yaml in [head, head + "\n" + whole] {
                do {
                    _ = try load(yaml)
                    loaded += 1
                } catch {
                    #expect(!error.problems.isEmpty)
                    #expect(error.problems.allSatisfy { ($0.position?.line ?? 1) <= 2 * lines + 1 })
                }
            }
        }
        #expect(loaded > 0)
    }

    @Test func `is reported with the remedy of two frequent mistakes`() {
        #expect(problems(of: "source:\n\taddr: a:1\n")[0].hasSuffix("; indent with spaces, not tabs"))
        #expect(
            problems(of: "source:\n  addr: [::1]:1\n")[0].hasSuffix(
                "; put a text that starts with '[' or '{' in quotes"))
    }

    @Test func `is rejected if its file cannot be read`() throws {
        let folder = try TemporaryFolder()
        let missing = folder.path + "/none.yaml"
        let loader = ConfigurationLoader(environment: [:])
        var error = try #require(throws: ConfigurationError.self) { try loader.load(missing) }
        #expect(error.code == .unreadable)
        #expect(error.description == "\(missing): cannot read the configuration: No such file or directory")

        error = try #require(throws: ConfigurationError.self) { try loader.load(folder.path) }
        #expect(error.description.hasSuffix("cannot read the configuration: Is a directory"))
    }
}

@Suite struct `A key that occurs twice` {
    @Test func `is reported at its second place, and the rest is still checked`() {
        let yaml = """
            source:
              addr: a:1
              # addr: in a comment
              tls:
                enabled: false
                enabled: false
              addr: b:1
              addr : c:1
            target:
              addr: d:1
            source:
              password: x
            log: {level: loud}
            """
        #expect(
            problems(of: yaml) == [
                "6:5: source.tls.enabled: occurs twice; the first is in line 5",
                "7:3: source.addr: occurs twice; the first is in line 2",
                "8:3: source.addr: occurs twice; the first is in line 2",
                "11:1: source: occurs twice; the first is in line 1",
                "13:14: log.level: expected trace, debug, info, notice, warning, error or critical, found \"loud\"",
            ])
    }

    @Test func `is also reported within braces and in quotes`() {
        let yaml = """
            source: {addr: "a:1"}
            source: {addr: "b:1"}
            target: {addr: "c:1", tls: {enabled: false, addr: x}, # addr: in a comment
              password: "it's, addr: \\", addr: e",
              'addr': "d:1", addr : "e:1", silentSeconds: x}
            "log": {level: loud}
            log: {level: info, "level": loud, level: loud}
            """
        #expect(
            problems(of: yaml) == [
                "2:1: source: occurs twice; the first is in line 1",
                "3:45: target.tls.addr: unknown key here; did you mean 'source.addr' or 'target.addr' or 'dashboard.addr'?",
                "5:3: target.addr: occurs twice; the first is in line 3",
                "5:18: target.addr: occurs twice; the first is in line 3",
                "5:47: target.silentSeconds: expected seconds from 1 to 3600, found \"x\"",
                "6:16: log.level: expected trace, debug, info, notice, warning, error or critical, found \"loud\"",
                "7:1: log: occurs twice; the first is in line 6",
            ])
    }

    @Test func `is found in a file with Windows line ends`() {
        let yaml = "source:\r\n  addr: a:1\r\n  addr: b:1\r\ntarget: c:1\r\n"
        #expect(
            problems(of: yaml).first == "3:3: source.addr: occurs twice; the first is in line 2")
    }
}
