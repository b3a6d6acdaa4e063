import Dispatch
import Glibc
import Link
import Logging

extension FlowApplier {
    /// How often deadlines are looked through while nothing arrives.
    private static let expiryInterval = DispatchTimeInterval.milliseconds(500)

    /// Keeps the target from expiring keys before the stream does; before `start`.
    ///
    /// - Parameters:
    ///   - folder: where the flow's deadlines are noted.
    ///   - next: where a continued flow begins; `nil` for a full sync.
    ///   - window: `nil`: the target does not expire anything by itself.
    /// - Throws: `SystemError` when the files cannot be made.
    package func guardExpiry(
        in folder: String, origin: Int64, continuingAt next: UInt64?, window: Duration?,
        clock: @escaping @Sendable () -> Int64
    ) throws {
        let book = try DeadlineBook(folder: folder, origin: origin, continuingAt: next)
        if next != nil, !book.isContinued, window != nil {
            context.logger.warning(
                "what was noted of the target's TTLs is gone or outdated: those written before this start are not protected, and may be late, until the source writes them again",
                metadata: ["flow": "\(flow)"])
        }
        encoder.expiry = ExpiryGuard(book: book, window: window.map { .init($0) }, resumes: next != nil, clock: clock)
        lookAtDeadlines()
    }

    private var isClosed: Bool {
        if case .closed = state { true } else { false }
    }

    private nonisolated func lookAtDeadlines() {
        queue.asyncAfter(deadline: .now() + Self.expiryInterval) { [weak self] in
            guard let self else { return }
            let goesOn = self.assumeIsolated { applier in
                guard !applier.isClosed, let expiry = applier.encoder.expiry else { return false }
                if let failure = expiry.book.takeFailure() {
                    applier.context.logger.error(
                        "TTLs cannot be noted, and are not protected meanwhile: \(failure)",
                        metadata: ["flow": "\(applier.flow)"])
                }
                applier.pump()
                return true
            }
            if goesOn { self.lookAtDeadlines() }
        }
    }
}
