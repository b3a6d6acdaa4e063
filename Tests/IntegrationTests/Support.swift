import Foundation
import Lab

/// The folder of the recorded masters.
let recordingsFolder = Bundle.module.bundlePath + "/Recordings"

func recording(_ name: String) -> RecordedRun { RecordedRun(name, in: recordingsFolder) }

extension [UInt8] {
    init(_ text: String) { self = Array(text.utf8) }
}

/// Polls until `differences` gives none; else throws with what it gave last.
func waitUntilEqual(timeout: Duration = .seconds(90), _ differences: () throws -> [Difference]) throws {
    let deadline = ContinuousClock.now + timeout
    while true {
        let found = try differences()
        if found.isEmpty { return }
        if ContinuousClock.now >= deadline {
            throw LabError("not equal after \(timeout):\n\(Difference.report(found))")
        }
        usleep(100_000)
    }
}

/// Runs what blocks on a thread of its own, so that the pool's few threads stay free for other tests.
func onThread<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
    try await withCheckedThrowingContinuation { continuation in
        Thread { continuation.resume(with: Result { try body() }) }.start()
    }
}
