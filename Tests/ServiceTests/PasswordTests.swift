import Foundation
import Testing

@testable import Service

@Suite struct `A password` {
    private let folder: TemporaryFolder
    private let loader: ConfigurationLoader

    init() throws {
        folder = try TemporaryFolder()
        loader = ConfigurationLoader(environment: ["CREDENTIALS_DIRECTORY": folder.path + "/credentials"])
    }

    /// Loads a file whose source has these lines.
    private func load(_ lines: String...) throws -> ConfigurationLoader.Loaded {
        let yaml = minimal.replacing("source:\n", with: "source:\n" + lines.map { "  \($0)\n" }.joined())
        return try loader.load(try folder.write(yaml, to: "prod.yaml"))
    }

    @Test func `is taken from the task's credential, a common one, the file or the key, in this order`() throws {
        try folder.write("from file\n", to: "password")
        try folder.write("from credential\r\n", to: "credentials/source-password")
        try folder.write("from the task's credential", to: "credentials/prod.source-password")
        let lines = ["password: inline", "passwordFile: password"]

        var loaded = try load(lines[0], lines[1])
        #expect(loaded.configuration.source.login.password?.reveal() == "from the task's credential")
        #expect(
            loaded.warnings.map { "\($0.key ?? ""): \($0.message)" } == [
                "source.password: is not used: the systemd credential 'prod.source-password' overrides it",
                "source.passwordFile: is not used: the systemd credential 'prod.source-password' overrides it",
            ])

        try folder.remove("credentials/prod.source-password")
        loaded = try load(lines[0], lines[1])
        #expect(loaded.configuration.source.login.password?.reveal() == "from credential")

        try folder.remove("credentials/source-password")
        loaded = try load(lines[0], lines[1])
        #expect(loaded.configuration.source.login.password?.reveal() == "from file")
        #expect(loaded.warnings.map(\.key) == ["source.password"])

        loaded = try load(lines[0])
        #expect(loaded.configuration.source.login.password?.reveal() == "inline")
        #expect(loaded.warnings.isEmpty)
        #expect(try load().configuration.source.login.password == nil)
    }

    @Test func `is found by a command run by hand in the places of the unit's credentials`() throws {
        let places = CredentialPlaces(units: folder.path + "/units", store: folder.path + "/store")
        let loader = ConfigurationLoader(environment: [:], places: places)
        let yaml = minimal.replacing("source:\n", with: "source:\n  username: u\n")
        let file = try folder.write(yaml, to: "prod.yaml")
        func password() throws -> String? { try loader.load(file).configuration.source.login.password?.reveal() }

        #expect(throws: ConfigurationError.self) { try password() }
        // A common name in the store may belong to another task.
        try folder.write("other", to: "store/source-password")
        #expect(throws: ConfigurationError.self) { try password() }
        try folder.write("stored", to: "store/prod.source-password")
        #expect(try password() == "stored")
        try folder.write("loaded", to: "units/df2redis@prod.service/source-password")
        #expect(try password() == "loaded")
        let inUnit = ConfigurationLoader(
            environment: ["CREDENTIALS_DIRECTORY": folder.path + "/nothing"], places: places)
        #expect(throws: ConfigurationError.self) { try inUnit.load(file) }
    }

    /// Both units read the whole configuration.
    @Test func `is loaded by the monitor's unit as it is by the task's`() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        func credentials(_ unit: String) throws -> [Substring] {
            try String(contentsOf: root.appending(path: "systemd/\(unit)"), encoding: .utf8)
                .split(separator: "\n").filter { $0.hasPrefix("LoadCredential=") }
        }
        let task = try credentials("df2redis@.service")
        #expect(task.count == 13)
        #expect(try credentials("df2redis-monitor@.service") == task)
    }

    @Test func `of the source is separate from that of the target`() throws {
        try folder.write("t", to: "credentials/target-password")
        let configuration = try load("password: s").configuration
        #expect(configuration.source.login.password?.reveal() == "s")
        #expect(configuration.target.login.password?.reveal() == "t")
    }

    @Test func `in a file loses only one newline at its end`() throws {
        for (text, password) in [("a b \n", "a b "), ("a\n\n", "a\n"), ("a\r\n", "a"), (" a", " a")] {
            try folder.write(text, to: "password")
            #expect(try load("passwordFile: password").configuration.source.login.password?.reveal() == password)
        }
    }

    @Test func `that cannot be read is reported with its place`() throws {
        var error = try #require(throws: ConfigurationError.self) { try load("passwordFile: none") }
        let file = error.problems[0].file
        let folderPath = FilePathText.absolute(folder.path, relativeTo: "/")
        #expect(
            error.description
                == "\(file):2:17: source.passwordFile: cannot read \(folderPath)/none: No such file or directory")

        #expect(
            PasswordResolver.message(about: "/p", TextFile.Failure(errno: EACCES))
                == "cannot read /p: Permission denied; a unit runs as df2redis: chown root:df2redis /p && chmod 0640 /p"
        )
        #expect(
            TextFile.Failure(errno: EACCES).text("cannot read the configuration", of: "/c")
                == "cannot read the configuration: Permission denied; a unit runs as df2redis: chown root:df2redis /c && chmod 0640 /c"
        )

        #expect(
            TextFile.Failure(errno: EACCES).text("cannot read /root/a/p", of: "/root/a/p") { $0 == "/root" }
                == "cannot read /root/a/p: Permission denied, since this user may not enter /root; for a unit move it to /etc/df2redis, chown root:df2redis and chmod 0640 it"
        )

        try folder.write("\n", to: "empty")
        error = try #require(throws: ConfigurationError.self) { try load("passwordFile: empty") }
        #expect(error.description.hasSuffix("/empty: it is empty"))

        try folder.write("", to: "credentials/source-password/x")
        error = try #require(throws: ConfigurationError.self) { try load("password: inline") }
        #expect(
            error.description.hasSuffix("cannot read the systemd credential 'source-password': Is a directory"))
    }

    @Test func `cannot be the placeholder that is printed for it`() throws {
        let copied = "password: \(Secret("x"))"
        let error = try #require(throws: ConfigurationError.self) { try load(copied) }
        #expect(error.description.contains(":2:13: source.password: is only what 'config --check' prints"), "\(error)")
        #expect(throws: ConfigurationError.self) {
            try loader.load(yaml: minimal + "dashboard: {token: <redacted>}\n", file: "/etc/df2redis/prod.yaml")
        }
        // With a credential a printed configuration can still be used.
        try folder.write("stored", to: "credentials/source-password")
        #expect(try load(copied).configuration.source.login.password?.reveal() == "stored")
    }

    @Test func `is never printed`() throws {
        let configuration = try load("password: hunter2").configuration
        var dumped = ""
        dump(configuration, to: &dumped)
        let texts = [
            configuration.yaml, "\(configuration)", String(reflecting: configuration), dumped,
            "\(Secret("hunter2"))", String(reflecting: Secret("hunter2")), "\([Secret("hunter2")])",
        ]
        for text in texts { #expect(!text.contains("hunter2")) }
        #expect(configuration.yaml.contains("  password: \"<redacted>\"\n"))

        for wrong in ["password: {a: hunter2}", "password: [hunter2]", "addr: user:hunter2@host:1"] {
            let error = try #require(throws: ConfigurationError.self) { try load(wrong) }
            #expect(!error.description.contains("hunter2"))
            #expect(!"\(error.problems)".contains("hunter2"))
        }
    }
}

@Suite struct `The dashboard's token` {
    @Test func `is taken from the file if the configuration has one too`() throws {
        let folder = try TemporaryFolder()
        try folder.write("of-the-file\n", to: "token")
        let both = minimal + "dashboard: {token: inline, tokenFile: \(folder.path)/token}\n"
        #expect(try load(minimal).configuration.dashboard.token == nil)
        #expect(try load(minimal + "dashboard: {token: inline}\n").configuration.dashboard.token == Secret("inline"))
        let loaded = try load(both)
        #expect(loaded.configuration.dashboard.token == Secret("of-the-file"))
        #expect(loaded.warnings.map(\.key) == ["dashboard.token"])
        #expect(!loaded.configuration.yaml.contains("inline"))
    }

    @Test(arguments: ["\"a b\"", "ü", "\"a\\tb\""])
    func `is rejected if a header cannot hold it`(_ token: String) {
        #expect(throws: ConfigurationError.self) { try load(minimal + "dashboard: {token: \(token)}\n") }
    }

    @Test func `is rejected if its file is missing`() {
        #expect(throws: ConfigurationError.self) { try load(minimal + "dashboard: {tokenFile: /nowhere/token}\n") }
    }
}
