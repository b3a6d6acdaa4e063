import Link
import Servers

/// What a look at one of the two servers has given.
protocol ServerSide {
    var findings: [PreflightFinding] { get set }
    /// By how much its clock is ahead of ours; `nil`: it does not say.
    var aheadMilliseconds: Int64? { get set }
}

/// Connects to a server, sees how far away it is, looks at it, and closes the connection. What fails on the way is a finding too.
struct ServerVisit {
    let subject: PreflightFinding.Subject
    /// Where the server is, for people.
    let place: String
    /// What to do where it cannot be asked.
    let remedy: String

    func run<Side: ServerSide>(
        _ side: inout Side, connect: () async throws(ServerError) -> ServerConnection,
        look: (ServerConnection, inout Side) async throws(ServerError) -> Void
    ) async {
        do throws(ServerError) {
            let server = try await connect()
            do throws(ServerError) {
                try await measure(server, &side)
                try await look(server, &side)
                await server.close()
            } catch {
                await server.close()
                throw error
            }
        } catch {
            side.findings.append(
                PreflightFinding(.fail, subject, "connection", error.description, remedy: remedy))
        }
    }

    private func measure(_ server: ServerConnection, _ side: inout some ServerSide) async throws(ServerError) {
        let (roundTrip, ahead) = try await ClockReading.take(server)
        side.aheadMilliseconds = ahead
        side.findings.append(
            PreflightFinding(
                .ok, subject, "connection", "\(place) answers, round trip \(ClockReading.text(roundTrip))"))
    }
}
