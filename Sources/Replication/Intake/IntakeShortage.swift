package import Link

/// Why there is no room for data that the target has not taken yet.
package enum IntakeShortage: Error, Equatable, Sendable, CustomStringConvertible {
    /// A limit in the configuration is exhausted.
    case limit(String)
    /// The disk or the folder refuses a write.
    case disk(SystemError)

    package var description: String {
        switch self {
        case .limit(let which): which
        case .disk(let error): "\(error)"
        }
    }

    /// What an operator can do about it.
    package var remedy: String {
        switch self {
        case .limit: "raise spool.memoryBytes or spool.diskBytes"
        case .disk: "free space, or set spool.dir to a folder of another disk"
        }
    }
}
