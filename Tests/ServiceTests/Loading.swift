import Testing

@testable import Service

/// The smallest valid configuration.
let minimal = """
    source:
      addr: master.example:6379
    target:
      addr: target.example:6380

    """

/// Loads a text as `/etc/df2redis/prod.yaml`.
func load(
    _ yaml: String, taskName: String? = nil, environment: [String: String] = [:]
) throws(ConfigurationError) -> ConfigurationLoader.Loaded {
    try ConfigurationLoader(environment: environment)
        .load(yaml: yaml, file: "/etc/df2redis/prod.yaml", taskName: taskName)
}

/// Returns the problems of a text as `line:column: key: message`, without the file's name.
func problems(of yaml: String, sourceLocation: SourceLocation = #_sourceLocation) -> [String] {
    do {
        _ = try load(yaml)
        Issue.record("the configuration has no faults", sourceLocation: sourceLocation)
        return []
    } catch {
        return error.problems.map { $0.description.replacing("/etc/df2redis/prod.yaml:", with: "") }
    }
}
