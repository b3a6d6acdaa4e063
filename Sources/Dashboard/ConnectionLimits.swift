/// What one client, and all of them, may cost.
package struct ConnectionLimits: Sendable {
    package var connections = 64
    /// Of a request, with its headers; several that are sent at once count together.
    package var requestBytes = 64 << 10
    package var headerBytes = 16 << 10
    package var headerCount = 64
    /// From the connection, or the last answer, until the next answer has been taken.
    package var answerTime = Duration.seconds(20)

    package init() {}
}
