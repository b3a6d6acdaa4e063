import Foundation
import Testing

@testable import Service

@Suite struct `The pace of restarts after failures` {
    private func pause(_ status: Service.ExitStatus, after elapsed: Duration, isService: Bool = true) -> Duration {
        RestartDelay.pause(before: status, after: elapsed, isService: isService)
    }

    @Test func `is slowed down only under systemd and only if the reason may go away`() {
        for status in Service.ExitStatus.allCases {
            let isSlow = [69, 71, 74, 75].contains(status.code)
            #expect(pause(status, after: .seconds(1)) == (isSlow ? .seconds(4) : .zero), "\(status)")
            #expect(pause(status, after: .seconds(6)) == .zero)
            #expect(pause(status, after: .zero, isService: false) == .zero)
        }
    }

    @Test func `never reaches the limit at which systemd gives up the unit`() throws {
        var path = URL(fileURLWithPath: #filePath)
        for _ in 0..<3 { path.deleteLastPathComponent() }
        let unit = try String(contentsOf: path.appendingPathComponent("systemd/df2redis@.service"), encoding: .utf8)
        #expect(unit.contains("\nStartLimitIntervalSec=10min\nStartLimitBurst=120\n"))
        #expect(unit.contains("\nRestartSec=500ms\n"))
        #expect(Duration.seconds(600) / (RestartDelay.shortestRun + .milliseconds(500)) < 120)
    }
}
