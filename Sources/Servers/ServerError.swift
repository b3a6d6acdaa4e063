package import Dragonfly
package import Redis

/// The reason why a request to the source or the target failed.
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
