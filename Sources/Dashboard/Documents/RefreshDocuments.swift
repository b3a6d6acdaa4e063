import Replication

/// Keys that a task has been asked to read at the source: `POST /api/refresh`.
package struct RefreshReceipt: JSONDocument {
    /// Keys that are read now, with those that waited already.
    package var asked: Int
    /// Keys of which it is not known which shard of the source has them.
    package var unplaced: Int
    /// Keys that the queue had no room for.
    package var noRoom: Int
    /// What to ask with how far they are.
    package var mark: UInt64
    /// Of `RefreshRest`, before these keys were asked for.
    package var failedBefore: Int
    package var leftOutBefore: Int

    init(_ receipt: TaskDemands.Receipt) {
        asked = receipt.asked
        unplaced = receipt.unplaced
        noRoom = receipt.noRoom
        mark = receipt.mark
        failedBefore = receipt.failedBefore
        leftOutBefore = receipt.leftOutBefore
    }
}

/// How far the keys are that were asked for before a mark: `GET /api/refresh`.
package struct RefreshRest: JSONDocument {
    package var waiting: Int
    /// Keys that have changed each time they were read.
    package var changing: Int
    /// Keys that could not be read or written, since the process began.
    package var failed: Int
    /// Keys that a policy leaves out, since the process began.
    package var leftOut: Int

    init(_ rest: TaskDemands.Rest) {
        waiting = rest.waiting
        changing = rest.changing
        failed = rest.failed
        leftOut = rest.leftOut
    }
}

/// Streams of the source that have groups of consumers, where their reads leave no record: `/api/streams`.
package struct StreamsDocument: JSONDocument {
    /// Streams that are read now; `nil`: the answer is to another question than to read them.
    @OrNull package var asked: Int?
    /// Streams that are not written at the target yet.
    package var waiting: Int
    /// Keys that could not be read or written, since the process began.
    package var failed: Int
    package var known: Int
    /// Streams that there was no room for.
    package var leftOut: Int
    /// Every such stream is known.
    package var complete: Bool
    /// Those that are not known are being looked for.
    package var walking: Bool

    init(_ demands: TaskDemands, asked: Int? = nil) {
        let figures = demands.streams.figures
        waiting = demands.unfetchedStreams
        failed = demands.rest(before: 0).failed
        known = figures.count
        leftOut = figures.leftOut
        complete = figures.isComplete
        walking = figures.isWalking
        self.asked = asked
    }
}
