import Testing

@testable import Service

@Suite struct `The health of a task` {
    @Test func `is not known to a user who may not ask it`() {
        #expect(TaskHealthCheck.Verdict(.notRunning("/x")) == .absent("nothing listens on /x"))
        for failure in [ControlClient.Failure.notPermitted("/x"), .forbidden("no")] {
            #expect(TaskHealthCheck.Verdict(failure) == .forbidden("\(failure)"))
        }
        for failure in [ControlClient.Failure.silent("no answer"), .failed("words"), .outdated("/x")] {
            #expect(TaskHealthCheck.Verdict(failure) == .ill("\(failure)"))
        }
    }
}
