/// One fault of a configuration, or one thing worth a warning, with its place in the file.
package struct ConfigurationProblem: Error, Sendable, Equatable, CustomStringConvertible {
    package var file: String
    /// The place of the fault; nil if something is missing from the file or lies outside it.
    package var position: Position?
    /// The key path, such as `source.addr`; nil if the problem concerns the file as a whole.
    package var key: String?
    package var message: String

    /// A place in the file; both numbers count from 1, columns in Unicode scalars.
    package struct Position: Sendable, Equatable, Comparable {
        package var line: Int
        package var column: Int

        package init(line: Int, column: Int) {
            self.line = line
            self.column = column
        }

        package static func < (left: Position, right: Position) -> Bool {
            (left.line, left.column) < (right.line, right.column)
        }
    }

    package init(file: String, position: Position? = nil, key: String? = nil, message: String) {
        self.file = file
        self.position = position
        self.key = key
        self.message = message
    }

    /// `file:line:column: key: message`, as editors and DBAs know it from compilers.
    package var description: String {
        var text = file
        if let position { text += ":\(position.line):\(position.column)" }
        if let key { text += ": \(key)" }
        return text + ": " + message
    }
}

extension [ConfigurationProblem] {
    /// The problems in the order of the file; those without a place come last, in the order they were found.
    func inFileOrder() -> [ConfigurationProblem] {
        enumerated().sorted { left, right in
            switch (left.element.position, right.element.position) {
            case (let first?, let second?) where first != second: first < second
            case (_?, nil): true
            case (nil, _?): false
            default: left.offset < right.offset
            }
        }.map(\.element)
    }
}

/// A configuration that cannot be used, with all its faults at once.
package struct ConfigurationError: Error, Sendable, Equatable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        /// The file cannot be read.
        case unreadable
        /// The file is no YAML.
        case syntax
        /// Keys or values are wrong.
        case invalid
    }

    package let code: Code
    package let message: String
    /// At least one, in the order of the file.
    package let problems: [ConfigurationProblem]

    package let exitStatus = ExitStatus.misconfigured

    package init(code: Code, message: String, problems: [ConfigurationProblem]) {
        self.code = code
        self.message = message
        self.problems = problems.inFileOrder()
    }

    /// One line per problem.
    package var description: String {
        problems.map(\.description).joined(separator: "\n")
    }
}
