import Link
import Servers

/// What a preflight found out about one of the two servers.
protocol ServerSide {
    var findings: [PreflightFinding] { get set }
    /// How far its clock is ahead of ours; `nil` if it does not give its time.
    var aheadMilliseconds: Int64? { get set }
}

/// Connects to a server, measures the round trip, runs the checks, and closes the connection. A failure becomes a finding.
struct ServerVisit {
    let subject: PreflightFinding.Subject
    /// The address of the server, for people.
    let place: String
    /// What an operator should do if the visit fails.
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
