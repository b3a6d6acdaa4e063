import Dragonfly
import Testing

@testable import Replication

@Suite struct `A checkpoint's value` {
    @Test(arguments: [
        ("stable id 2 17", true), ("stable id 2 4611686018427387903", true), ("stable id 2 4611686018427387904", false),
        ("stable id 2 18446744073709551615", false), ("stable id 2 -1", false),
    ])
    func `is rejected as a position if no master can have reached it`(_ text: String, _ isPosition: Bool) {
        #expect((CheckpointValue(text) != nil) == isPosition)
    }
}
