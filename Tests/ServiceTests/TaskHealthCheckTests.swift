import Testing

@testable import Service

@Suite struct `The health of a task` {
    @Test func `follows from why the task did not answer: it is absent, forbidden or ill`() {
        #expect(TaskHealthCheck.Verdict(.notRunning("/x")) == .absent("the task does not run: nothing listens on /x"))
        for failure in [ControlClient.Failure.notPermitted("/x"), .forbidden("no")] {
            #expect(TaskHealthCheck.Verdict(failure) == .forbidden("\(failure)"))
        }
        for failure in [ControlClient.Failure.silent("no answer"), .failed("words"), .outdated("/x")] {
            #expect(TaskHealthCheck.Verdict(failure) == .unhealthy("\(failure)"))
        }
    }
}
