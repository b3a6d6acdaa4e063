import DragonflySimulator
import Lab
import Link
import Testing

@testable import Dragonfly

@Suite struct `A pause of the source's writers` {
    private let master: SimulatedMaster
    private let settings: SourceSettings

    init() throws {
        master = try SimulatedMaster(.live(nil), options: MasterOptions())
        try master.start()
        settings = SourceSettings(
            endpoint: Endpoint(host: "127.0.0.1", port: master.port), clientID: "test", displayName: "test")
    }

    @Test func `is unbroken if it is prolonged before it ends`() async throws {
        let pause = try await WritePause(settings: settings)
        try await pause.begin(for: .seconds(60))
        try await pause.begin(for: .seconds(60))
        #expect(await pause.isUnbroken)
        try await pause.lift()
        await pause.close()
        #expect(!master.isPaused)
        master.stop()
    }

    @Test func `is broken if it is prolonged after it has ended`() async throws {
        let pause = try await WritePause(settings: settings)
        try await pause.begin(for: .milliseconds(50))
        try await Task.sleep(for: .milliseconds(100))
        try await pause.begin(for: .seconds(60))
        #expect(await !pause.isUnbroken)
        #expect(master.isPaused)
        try await pause.lift()
        await pause.close()
        master.stop()
    }
}
