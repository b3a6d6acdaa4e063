import Dashboard
import Replication
import Testing

@testable import Service

@Suite struct `The table of tasks` {
    private func task(_ change: (inout StatusDocument) -> Void = { _ in }) throws -> StatusDocument {
        var report = TaskDescription(name: "prod")
        (report.source, report.target, report.startedAt) = ("a:1", "b:2", 1_800_000_000_000)
        let json = StatusDocument(TaskReport(task: report)).json
        var task = try StatusDocument(json: json)
        change(&task)
        return task
    }

    @Test func `has aligned columns, and the reason below a task that is not healthy`() throws {
        let running = try task {
            ($0.phase, $0.targetKeys, $0.lagSeconds, $0.dashboard) = (.stable, 1_000_000, 0.2, "http://127.0.0.1:7777/")
        }
        let ill = try task {
            $0.task = "a-longer-name"
            $0.health.code = .sourceLost
            $0.health.reason = "Connection refused"
        }
        let waiting = try task {
            ($0.task, $0.phase, $0.targetLost, $0.targetLoss) = ("w", .stable, true, "it is refused")
        }
        let table = TaskTable(
            [
                .running(running), .running(ill), .running(waiting), .absent("old", .notRunning, ""),
                .absent("hung", .noAnswer, "no answer within 5 s"),
                .absent("secret", .noPermission, "it is not for this user"),
            ], now: 1_800_000_300)
        #expect(
            table.text == """
                TASK           STATE          KEYS     RECORDS  LAG    UP  SOURCE  TARGET  PAGE
                prod           stable         1000000  0        0.2 s  5m  a:1     b:2     http://127.0.0.1:7777/
                a-longer-name  source-lost    -        0        -      5m  a:1     b:2     -
                  Connection refused
                w              target-lost    -        0        -      5m  a:1     b:2     -
                  the target does not serve: it is refused
                old            not running    -        -        -      -   -       -       -
                hung           no answer      -        -        -      -   -       -       -
                  no answer within 5 s
                secret         no permission  -        -        -      -   -       -       -
                  it is not for this user
                """)
    }

    @Test func `shows a leaving task as leaving even if its target is lost`() throws {
        let leaving = try task { ($0.phase, $0.targetLost) = (.leaving, true) }
        #expect(TaskTable([.running(leaving)]).text.contains("prod  leaving"))
    }

    @Test func `shows that a task was cut over, with the command that lets it start again`() throws {
        let folder = try TemporaryFolder()
        let file = try folder.write(
            "stateDir: \(folder.path)\nsource: {addr: \"a:1\"}\ntarget: {addr: \"b:2\"}\n", to: "prod.yaml")
        let directory = RuntimeDirectory(environment: ["RUNTIME_DIRECTORY": folder.path])
        func overview() -> TaskOverview {
            TaskOverview(tasks: ["prod"], in: directory, configurations: folder.path)
        }
        #expect(TaskTable(overview().rows).text.contains("prod  not running"))
        try CutoverMark(ConfigurationLoader(environment: [:]).load(file).configuration).set()
        let text = TaskTable(overview().rows).text
        #expect(text.contains("prod  cut over "))
        #expect(text.contains("clients write to b:2 since"))
        #expect(text.contains("df2redis cutover prod --undo"))
        #expect(overview().exitStatus == .taskNotRunning)
    }

    @Test func `does not show a task as cut over if this user cannot see whether it was`() throws {
        let folder = try TemporaryFolder()
        // Unreadable, like a folder that only the task's user may enter.
        let state = try folder.write("", to: "state")
        _ = try folder.write(
            "stateDir: \(state)\nsource: {addr: \"a:1\"}\ntarget: {addr: \"b:2\"}\n", to: "prod.yaml")
        let overview = TaskOverview(
            tasks: ["prod"], in: RuntimeDirectory(environment: ["RUNTIME_DIRECTORY": folder.path]),
            configurations: folder.path)
        let text = TaskTable(overview.rows).text
        #expect(text.contains("prod  not running"))
        #expect(text.contains("whether it was cut over cannot be seen by this user"))
        #expect(!text.contains("--undo"))
    }

    @Test func `says why a task has not answered`() {
        #expect(TaskTable.Absence(.notRunning("/x")) == .notRunning)
        #expect(TaskTable.Absence(.silent("no answer")) == .noAnswer)
        #expect(TaskTable.Absence(.failed("another version's words")) == .noAnswer)
        #expect(TaskTable.Absence(.notPermitted("/x")) == .noPermission)
    }

    @Test(arguments: [(0, "0s"), (119, "119s"), (120, "2m"), (7200, "2h"), (172_800, "2d")] as [(Int64, String)])
    func `shows ages in a short form`(_ seconds: Int64, _ text: String) {
        #expect(TaskTable.age(seconds) == text)
    }
}

@Suite struct `The folder of running tasks` {
    @Test func `is the unit's own under systemd, one in a given folder, or the default`() {
        func folder(_ environment: [String: String]) -> String {
            RuntimeDirectory(environment: environment).socket(forNew: "prod").folder
        }
        #expect(folder(["RUNTIME_DIRECTORY": "/run/df2redis/prod"]) == "/run/df2redis/prod")
        #expect(folder(["RUNTIME_DIRECTORY": "/run/df2redis/prod:/run/other"]) == "/run/df2redis/prod")
        #expect(folder(["RUNTIME_DIRECTORY": "/tmp/x"]) == "/tmp/x/prod")
        #expect(
            RuntimeDirectory(environment: ["XDG_RUNTIME_DIR": "/run/user/7"]).roots == [
                "/run/df2redis", "/run/user/7/df2redis",
            ])
        #expect(RuntimeDirectory(environment: ["RUNTIME_DIRECTORY": "/nowhere"]).tasks.isEmpty)
    }
}
