/// A configuration while it is read: the values so far, their places in the file, and the faults.
struct ConfigurationReading {
    typealias Position = ConfigurationProblem.Position

    let file: String
    var configuration = Configuration()
    private(set) var problems: [ConfigurationProblem] = []
    private(set) var warnings: [ConfigurationProblem] = []
    /// The place of each value that is not blank, by key path.
    private(set) var places: [String: Position] = [:]
    /// The place of each section's key, by path.
    private(set) var sectionPlaces: [String: Position] = [:]

    private static let settings = Dictionary(uniqueKeysWithValues: Setting.all.map { ($0.path, $0) })

    init(file: String) {
        self.file = file
    }

    mutating func fail(at position: Position?, key: String? = nil, _ message: String) {
        problems.append(ConfigurationProblem(file: file, position: position, key: key, message: message))
    }

    /// Fails at a key's value, or at its section if the key is missing.
    mutating func fail(_ key: String, _ message: String) {
        let section = key.split(separator: ".").dropLast().joined(separator: ".")
        fail(at: places[key] ?? sectionPlaces[section], key: key, message)
    }

    /// - Parameter key: `nil`: it is about the file as a whole.
    mutating func warn(_ key: String?, _ message: String) {
        let position = key.flatMap { places[$0] }
        warnings.append(ConfigurationProblem(file: file, position: position, key: key, message: message))
    }

    /// Takes in the values of a document.
    mutating func read(_ root: YAMLNode) {
        switch root.content {
        case .section(let entries): read(entries, of: "")
        case .null: break
        default: fail(at: root.position, "expected keys with values, such as 'source:', found something else")
        }
    }

    private mutating func read(_ entries: [YAMLNode.Entry], of section: String) {
        for entry in entries {
            let path = section.isEmpty ? entry.key : section + "." + entry.key
            if entry.isDuplicate {
                let first = entries.first { $0.key == entry.key }?.keyPosition.line
                fail(at: entry.keyPosition, key: path, "occurs twice; the first is in line \(first ?? 1)")
            } else if let setting = Self.settings[path] {
                take(entry, as: setting)
            } else if Setting.sections[path] != nil {
                sectionPlaces[path] = entry.keyPosition
                readSection(entry, path)
            } else {
                fail(at: entry.keyPosition, key: path, Self.unknown(entry.key, in: section))
            }
        }
    }

    private mutating func readSection(_ entry: YAMLNode.Entry, _ path: String) {
        if case .section(let entries) = entry.value.content {
            read(entries, of: path)
        } else if let main = Setting.shorthands[path].flatMap({ Self.settings[$0] }) {
            take(entry, as: main)
        } else if !entry.value.isBlank {
            let names = Self.names(in: path).joined(separator: ", ")
            fail(at: entry.value.position, key: path, "expected a section with keys of its own: \(names)")
        }
    }

    private mutating func take(_ entry: YAMLNode.Entry, as setting: Setting) {
        if let reason = setting.obsolete {
            places[setting.path] = entry.keyPosition
            warn(setting.path, "has no meaning in this version and is ignored: \(reason)")
            return
        }
        if let storeEmpty = setting.storeEmpty, entry.value.content == .text("") {
            places[setting.path] = entry.value.position
            return storeEmpty(&configuration)
        }
        guard !entry.value.isBlank else {
            if setting.isWarnedOfWhenEmpty, entry.value.content == .text("") {
                places[setting.path] = entry.value.position
                warn(setting.path, "is empty, which means the default: \(setting.print(Configuration()))")
            }
            return
        }
        places[setting.path] = entry.value.position
        do {
            try setting.store(entry.value, &configuration)
        } catch {
            for fault in [error] + error.others { fail(at: fault.position, key: setting.path, fault.message) }
        }
    }

    /// The message about an unknown key: the name that was probably meant, or the key's right section, or the valid names.
    private static func unknown(_ key: String, in section: String) -> String {
        let names = names(in: section)
        if let name = KeySuggestion.nearest(to: key, among: names) { return "unknown key; did you mean '\(name)'?" }
        let elsewhere = Setting.all.filter { $0.name == key && $0.obsolete == nil }.map { "'\($0.path)'" }
        if !elsewhere.isEmpty {
            return "unknown key here; did you mean \(elsewhere.joined(separator: " or "))?"
        }
        return "unknown key; valid here: \(names.joined(separator: ", "))"
    }

    /// The keys and sections that a section may have, in the table's order; those that still mean something.
    private static func names(in section: String) -> [String] {
        var names: [String] = []
        let prefix = section.isEmpty ? "" : section + "."
        for setting in Setting.all where setting.path.hasPrefix(prefix) {
            guard setting.obsolete == nil || section == "migrate" else { continue }
            let name = setting.path.dropFirst(prefix.count).prefix { $0 != "." }
            if names.last.map({ $0 == name }) != true { names.append(String(name)) }
        }
        return names
    }
}
