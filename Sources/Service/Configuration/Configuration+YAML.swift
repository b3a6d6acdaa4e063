extension Configuration {
    /// The configuration as YAML, complete, with passwords redacted.
    package var yaml: String {
        Self.render(self, isAnnotated: false)
    }

    /// A configuration to start from: every key with its default and what it is for.
    package static var defaultYAML: String {
        "# Configuration of a df2redis task. Only source.addr and target.addr are required;\n"
            + "# every other key is shown with its default and can be left out.\n"
            + render(Configuration(), isAnnotated: true)
    }

    private static func render(_ configuration: Configuration, isAnnotated: Bool) -> String {
        var lines: [String] = []
        var open: [Substring] = []
        for setting in Setting.all where setting.isPrinted {
            let path = setting.path.split(separator: ".")
            let section = path.dropLast()
            let common = zip(open, section).prefix { $0 == $1 }.count
            for depth in common..<max(common, section.count) {
                let indent = String(repeating: "  ", count: depth)
                if isAnnotated {
                    if depth == 0 { lines.append("") }
                    let about = Setting.sections[section.prefix(depth + 1).joined(separator: ".")]
                    lines += about.map { ["\(indent)# \($0)"] } ?? []
                }
                lines.append("\(indent)\(section[depth]):")
            }
            open = Array(section)

            let indent = String(repeating: "  ", count: section.count)
            if isAnnotated { lines += comment(of: setting).map { "\(indent)# \($0)" } }
            lines.append("\(indent)\(setting.name): \(setting.print(configuration))")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func comment(of setting: Setting) -> [String] {
        let isPlain = ["text", "a path", "true or false", "dragonfly"].contains(setting.expected)
        return setting.help.split(separator: "\n").map(String.init) + (isPlain ? [] : ["Value: \(setting.expected)."])
    }
}
