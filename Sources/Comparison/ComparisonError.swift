package import Dragonfly
package import Link
package import Redis

/// Why a comparison could not be made or finished.
package enum ComparisonError: Error, Sendable, CustomStringConvertible {
    case source(SourceError)
    case target(TargetError)
    /// The file of differences.
    case file(SystemError)
    case cancelled

    package var description: String {
        switch self {
        case .source(let error): error.description
        case .target(let error): error.description
        case .file(let error): "the differing keys cannot be written: \(error); --output names another file"
        case .cancelled: "the comparison was cancelled"
        }
    }
}
