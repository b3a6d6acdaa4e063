extension Torture {
    /// A fault that was injected, from its beginning until its cause was removed.
    struct InjectedFault {
        var fault: Fault
        var start: ContinuousClock.Instant
        var end: ContinuousClock.Instant
    }

    /// A wait of a writer on the source, and the circumstances.
    package struct Wait: Sendable {
        package var duration: Duration
        /// The last fault that had begun, and how long it lasted; `nil` before the first fault.
        package var fault: Fault?
        package var faultLasted = Duration.zero
        /// The time from the fault's beginning to the wait's beginning.
        package var sinceFault = Duration.zero
        /// Roughly how long, during the wait, the master itself was ready to run but got no processor.
        package var withoutProcessor = Duration.zero

        /// Whether the wait began while the daemon was stopped by SIGSTOP, so that df2redis could not read the flows.
        package var isOfStoppedDaemon: Bool { fault == .daemonStopped && sinceFault < faultLasted }
    }
}

extension Torture.Report {
    private static let waitsKept = 5
    /// A wait that begins up to this long before a fault counts as the fault's, because its commands were on their way.
    private static let margin = Duration.milliseconds(20)

    /// The waits that began while the daemon was stopped from outside, the longest first.
    package var waitsOfStoppedDaemon: [Torture.Wait] { waits.filter(\.isOfStoppedDaemon) }
    /// All other waits, the longest first, for which df2redis may be responsible.
    package var waitsOtherwise: [Torture.Wait] { waits.filter { !$0.isOfStoppedDaemon } }

    /// Adds the longest wait of each fault, and keeps the longest of all.
    mutating func note(
        _ later: [TortureLoad.Wait], _ happenings: [Torture.InjectedFault],
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
