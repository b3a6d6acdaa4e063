import Link
import Servers
import Wire

/// Measures how far another server's clock is ahead of ours, and how long a request takes.
enum ClockReading {
    /// - Returns: the shortest of five round trips, and the clock's difference; `nil` for the latter if the server does not
    ///   give its time.
    static func take(_ server: ServerConnection) async throws(ServerError) -> (Duration, aheadMilliseconds: Int64?) {
        var best = Duration.seconds(3600)
        for _ in 0..<5 {
            let start = ContinuousClock.now
            _ = try await server.execute("PING")
            best = min(best, start.duration(to: .now))
        }
        let start = WallClock.milliseconds()
        let reply = try await server.requests([command("TIME")])[0]
        let end = WallClock.milliseconds()
        guard let parts = reply.array, parts.count == 2, let seconds = parts[0].int, let micros = parts[1].int,
            (0..<(1 << 40)).contains(seconds), (0..<1_000_000).contains(micros)
        else { return (best, nil) }
        return (best, seconds * 1000 + micros / 1000 - (start + (end - start) / 2))
    }

    static func text(_ roundTrip: Duration) -> String {
        "\((roundTrip.secondsAsDouble * 10_000).rounded() / 10) ms"
    }
}
