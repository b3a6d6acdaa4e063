/// The result of sending a message to the service manager.
package enum Delivery: Equatable, Sendable {
    /// The service manager's socket has accepted the message.
    case sent
    /// Nobody supervises this process: `NOTIFY_SOCKET` is unset, and nothing was sent.
    case notSupervised
    /// The message could not be sent.
    case failed(errno: Int32)

    /// - Parameter result: what `sd_notify` and its kin return: 1 sent, 0 no socket, a negative errno.
    init(result: Int32) {
        self =
            switch result {
            case 1...: .sent
            case 0: .notSupervised
            default: .failed(errno: -result)
            }
    }
}
