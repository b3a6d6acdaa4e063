import Glibc

/// Reads a task's configuration from its YAML file.
///
/// Every fault of the file is found in one go and reported with its place, so that an operator corrects them together.
/// A configuration of df2redis v2.x loads as it is; warnings name its keys that have no meaning any more.
package struct ConfigurationLoader: Sendable {
    /// The environment variables. Only folders that systemd sets and `XDG_RUNTIME_DIR` are used; nothing is expanded.
    private let environment: [String: String]
    private let places: CredentialPlaces?
    /// The user of the unit of the task with a state directory, where others than this process read the files.
    private let unitUser: (@Sendable (_ stateDirectory: String) -> UnitUser?)?

    /// A configuration and what an operator should know about its file.
    package struct Loaded: Sendable, Equatable {
        package var configuration: Configuration
        /// In the order of the file.
        package var warnings: [ConfigurationProblem]
    }

    package init(environment: [String: String]) { self.init(environment: environment, places: nil) }

    /// - Parameters:
    ///   - places: the folders to search for credentials without `CREDENTIALS_DIRECTORY`, as for a command that is run by
    ///     hand.
    ///   - unitUser: the user of the unit of the task with a state directory, who has to be able to read the files as well.
    init(
        environment: [String: String], places: CredentialPlaces?,
        unitUser: (@Sendable (_ stateDirectory: String) -> UnitUser?)? = nil
    ) {
        self.environment = environment
        self.places = places
        self.unitUser = unitUser
    }

    /// A loader for the environment of this process.
    package init() {
        var environment = RuntimeDirectory.environment
        for name in ["CREDENTIALS_DIRECTORY", "STATE_DIRECTORY"] {
            environment[name] = getenv(name).map { String(cString: $0) }
        }
        var unitUser: (@Sendable (String) -> UnitUser?)?
        if geteuid() == 0 { unitUser = { UnitUser(stateDirectory: $0) } }
        self.init(environment: environment, places: CredentialPlaces(), unitUser: unitUser)
    }

    /// Returns the configuration of a file.
    ///
    /// - Parameter taskName: overrides the file's `taskName`.
    /// - Throws: an error with all faults of the file.
    package func load(_ file: String, taskName: String? = nil) throws(ConfigurationError) -> Loaded {
        let text: String
        do {
            text = try TextFile.read(file)
        } catch {
            let problem = ConfigurationProblem(
                file: file, message: error.text("cannot read the configuration", of: file))
            throw ConfigurationError(
                code: .unreadable, message: "the configuration cannot be read", problems: [problem])
        }
        return try load(yaml: text, file: file, taskName: taskName)
    }

    /// Returns the configuration in a text, as if the text were in `file`.
    func load(yaml: String, file: String, taskName: String? = nil) throws(ConfigurationError) -> Loaded {
        var reading = ConfigurationReading(file: file)
        do {
            // Some editors put a byte order mark before a text; YAML allows it, the parser does not.
            let text = yaml.unicodeScalars
            reading.read(try YAMLNode.parse(text.first == "\u{FEFF}" ? String(text.dropFirst()) : yaml))
        } catch {
            reading.fail(at: error.position, error.message)
            throw ConfigurationError(
                code: .syntax, message: "the configuration is not readable as YAML", problems: reading.problems)
        }
        reading.complete(
            taskName: taskName, baseDirectory: FilePathText.directory(of: FilePathText.inWorkingDirectory(file)),
            environment: environment, credentialPlaces: places, unitUser: unitUser)

        guard reading.problems.isEmpty else {
            throw ConfigurationError(
                code: .invalid, message: "the configuration has faults", problems: reading.problems)
        }
        return Loaded(configuration: reading.configuration, warnings: reading.warnings.inFileOrder())
    }
}
