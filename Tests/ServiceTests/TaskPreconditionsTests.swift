import Foundation
import Testing

@testable import Service

@Suite struct `A task that starts` {
    private func preconditions(
        _ folder: TemporaryFolder, stateDirectory: String? = nil
    ) -> (TaskPreconditions, Service.Configuration) {
        var configuration = Service.Configuration()
        configuration.taskName = "prod"
        configuration.stateDirectory = stateDirectory ?? "\(folder.path)/state"
        configuration.spool.directory = "\(folder.path)/spool/prod"
        return (TaskPreconditions(configuration, configurationFile: "/etc/df2redis/prod.yaml"), configuration)
    }

    @Test func `creates its folders and takes its lock`() async throws {
        let folder = try TemporaryFolder()
        let lock = try await preconditions(folder).0.establish()
        for name in ["state/prod.lock", "spool/prod"] {
            #expect(FileManager.default.fileExists(atPath: "\(folder.path)/\(name)"), "\(name)")
        }
        withExtendedLifetime(lock) {}
    }

    @Test func `is refused if a folder is a file, with the setting that names it`() async throws {
        let folder = try TemporaryFolder()
        let file = try folder.write("", to: "file")
        let refusal = await #expect(throws: TaskPreconditions.Refusal.self) {
            try await preconditions(folder, stateDirectory: file).0.establish()
        }
        #expect(refusal?.exitStatus == .fileNotCreated)
        #expect(refusal?.errno == ENOTDIR)
        #expect(refusal?.description == "stateDir: mkdir \(file): Not a directory")
    }

    @Test func `is refused after a cut-over, with the command that undoes it`() async throws {
        let folder = try TemporaryFolder()
        let (preconditions, configuration) = preconditions(folder)
        withExtendedLifetime(try await preconditions.establish()) {}
        try CutoverMark(configuration).set()
        let refusal = await #expect(throws: TaskPreconditions.Refusal.self) { try await preconditions.establish() }
        #expect(refusal?.exitStatus == .cutOver)
        #expect(refusal?.description.contains("df2redis cutover prod --undo") == true)
    }
}

@Suite struct `Undoing a cut-over` {
    @Test func `fails without any change if it cannot be seen whether there was one`() async throws {
        let folder = try TemporaryFolder()
        let state = try folder.write("", to: "state")
        let file = try folder.write(
            "stateDir: \(state)\nsource: {addr: \"a:1\"}\ntarget: {addr: \"b:2\"}\n", to: "prod.yaml")
        let undo = try CutoverUndo(
            task: "prod", configurationFile: file, in: RuntimeDirectory(environment: ["RUNTIME_DIRECTORY": folder.path])
        )
        let failure = await #expect(throws: CutoverFailure.self) { try await undo.run() }
        #expect(failure?.exitStatus == .fileFailed)
        #expect(
            failure?.description.hasPrefix("whether the task was cut over cannot be seen by this user: access ") == true
        )
        #expect(failure?.description.contains("nothing was changed") == true)
    }
}

@Suite struct `The identity of a task at the master` {
    @Test func `depends on the task and the host only`() {
        let id = ReplicaIdentity(task: "prod", host: "db7").clientID
        #expect(id.utf8.count == 40 && id.allSatisfy(\.isHexDigit))
        #expect(id == ReplicaIdentity(task: "prod", host: "db7").clientID)
        for other in [ReplicaIdentity(task: "test", host: "db7"), ReplicaIdentity(task: "prod", host: "db8")] {
            #expect(other.clientID != id)
        }
        #expect(ReplicaIdentity(task: "prod", host: "db7").displayName == "df2redis/prod@db7")
    }
}
