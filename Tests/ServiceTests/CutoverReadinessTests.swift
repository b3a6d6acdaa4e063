import Dashboard
import Testing

@testable import Service

@Suite struct `The readiness for a cut-over` {
    @Test func `says whether a lag in records is estimated`() throws {
        let json = StatusDocument(TaskReport(task: TaskDescription(name: "prod"))).json
        var task = try StatusDocument(json: json)
        (task.lagRecords, task.isLagEstimated) = (678_000, true)
        #expect(CutoverReadiness.lagText(seconds: 2.5, task) == "2.5 s, about 678000 records")
        task.isLagEstimated = false
        #expect(CutoverReadiness.lagText(seconds: 0, task) == "0.0 s, 678000 records")
    }
}
