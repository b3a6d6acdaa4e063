package import Dragonfly
package import Redis

/// Why the source or the target could not be asked.
package enum ServerError: Error, Sendable, CustomStringConvertible {
    case source(SourceError)
    case target(TargetError)
    case cancelled

    package var description: String {
        switch self {
        case .source(let error): error.description
        case .target(let error): error.description
        case .cancelled: "asking the servers was cancelled"
        }
    }
}
