import Replication
import Servers

extension ServerError {
    var exitStatus: ExitStatus {
        switch self {
        case .source(let error): ReplicationError(error).exitStatus
        case .target(let error): ReplicationError(error).exitStatus
        case .cancelled: .defect
        }
    }
}
