package import Link

/// Why there is no room for what the target has not taken.
package enum IntakeShortage: Error, Equatable, Sendable, CustomStringConvertible {
    /// A limit of the configuration is spent.
    case limit(String)
    /// The disk refuses, or the folder.
    case disk(SystemError)

    package var description: String {
        switch self {
        case .limit(let which): which
        case .disk(let error): "\(error)"
        }
    }

    /// What an operator does about it.
    package var remedy: String {
        switch self {
        case .limit: "raise spool.memoryBytes or spool.diskBytes"
        case .disk: "free space, or set spool.dir to a folder of another disk"
        }
    }
}
