extension Torture {
    /// A fault that has been, from its beginning until its cause was taken away.
    struct Happening {
        var fault: Fault
        var start: ContinuousClock.Instant
        var end: ContinuousClock.Instant
    }

    /// A wait of a writer on the source, and what went on.
    package struct Wait: Sendable {
        package var duration: Duration
        /// The last fault that had begun, and how long it lasted.
        package var fault: Fault?
        package var faultLasted = Duration.zero
        /// From its beginning to that of the wait.
        package var sinceFault = Duration.zero
        /// Of the wait, about how long the master itself was ready to run and got no processor.
        package var withoutProcessor = Duration.zero

        /// The daemon was stopped by SIGSTOP: nobody read the flows, and nothing of df2redis could help.
        package var isOfStoppedDaemon: Bool { fault == .daemonStopped && sinceFault < faultLasted }
    }
}

extension Torture.Report {
    private static let waitsKept = 5
    /// A command that is on its way when a fault begins waits for that one.
    private static let margin = Duration.milliseconds(20)

    /// Those that had to do with a daemon that was stopped from outside, the longest first.
    package var waitsOfStoppedDaemon: [Torture.Wait] { waits.filter(\.isOfStoppedDaemon) }
    /// All others, the longest first: what df2redis may answer for.
    package var waitsOtherwise: [Torture.Wait] { waits.filter { !$0.isOfStoppedDaemon } }

    /// Adds the longest wait of each fault, and keeps the longest of all.
    mutating func note(
        _ later: [TortureLoad.Wait], _ happenings: [Torture.Happening],
        withoutProcessor: (ContinuousClock.Instant, ContinuousClock.Instant) -> Duration
    ) {
        var noted: Set<Int?> = []
        for wait in later.sorted(by: { $0.duration > $1.duration }) {
            let index = happenings.lastIndex { $0.start <= wait.start + Self.margin }
            guard noted.insert(index).inserted else { continue }
            var told = Torture.Wait(duration: wait.duration)
            told.withoutProcessor = withoutProcessor(wait.start, wait.start + wait.duration)
            if let last = index.map({ happenings[$0] }) {
                told.fault = last.fault
                told.faultLasted = last.start.duration(to: last.end)
                told.sinceFault = last.start.duration(to: wait.start)
            }
            waits.append(told)
        }
        waits = waitsOfStoppedDaemon.longest(Self.waitsKept) + waitsOtherwise.longest(Self.waitsKept)
    }
}

extension [Torture.Wait] {
    fileprivate func longest(_ count: Int) -> [Torture.Wait] {
        Array(sorted { $0.duration > $1.duration }.prefix(count))
    }
}
