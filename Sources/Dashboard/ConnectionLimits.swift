/// The limits of one client, and of all clients together.
package struct ConnectionLimits: Sendable {
    package var connections = 64
    /// The bytes of a request with its headers; several requests that are sent at once count together.
    package var requestBytes = 64 << 10
    package var headerBytes = 16 << 10
    package var headerCount = 64
    /// The time from the connect, or from the last answer, until the client has taken the next answer.
    package var answerTime = Duration.seconds(20)

    package init() {}
}
