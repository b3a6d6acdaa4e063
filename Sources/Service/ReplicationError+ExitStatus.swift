import Dragonfly
import Redis
import Replication

extension ReplicationError {
    /// The exit status for the shell and for systemd.
    var exitStatus: ExitStatus {
        switch code {
        case .source(.unreachable), .source(.loading), .source(.notReady), .source(.replica), .source(.resumeRefused):
            .sourceUnavailable
        case .source(.exhausted), .target(.exhausted): .systemRefused
        case .source(.permission), .source(.clientCertificate), .target(.permission), .target(.clientCertificate):
            .notPermitted
        case .source(.notAMaster), .source(.tls), .target(.unsuitable), .target(.tls),
            .target(.sentinel):
            .misconfigured
        case .source(.protocolViolation), .target(.protocolViolation), .undecodable: .protocolViolated
        case .target(.unreachable), .target(.loading), .target(.notReady), .target(.changed), .target(.taskTaken),
            .targetChanged,
            .overflow, .postponed:
            .targetUnavailable
        case .resync, .recordsLost, .dataReplaced, .cancelled: .sourceUnavailable
        case .defect: .defect
        case .policy: .stoppedByPolicy
        case .configuration: .misconfigured
        case .cutOver, .target(.cutOver): .cutOver
        case .file: .fileFailed
        }
    }
}
