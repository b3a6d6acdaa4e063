import Replication

/// The answer to a request to read keys at the source: `POST /api/refresh`.
package struct RefreshReceipt: JSONDocument {
    /// Keys that will be read, including those that were waiting already.
    package var asked: Int
    /// Keys whose shard at the source is unknown.
    package var unplaced: Int
    /// Keys that the queue had no room for.
    package var noRoom: Int
    /// The value to pass to `GET /api/refresh`.
    package var mark: UInt64
    /// The counts of `RefreshProgress` before this request.
    package var failedBefore: Int
    package var leftOutBefore: Int

    init(_ receipt: OperatorRequests.Receipt) {
        asked = receipt.asked
        unplaced = receipt.unplaced
        noRoom = receipt.noRoom
        mark = receipt.mark
        failedBefore = receipt.failedBefore
        leftOutBefore = receipt.leftOutBefore
    }
}

/// The progress of the keys that were requested before a mark: `GET /api/refresh`.
package struct RefreshProgress: JSONDocument {
    package var waiting: Int
    /// Keys that have changed each time they were read.
    package var changing: Int
    /// Keys that could not be read or written, since the process began.
    package var failed: Int
    /// Keys that a policy leaves out, since the process began.
    package var leftOut: Int

    init(_ progress: OperatorRequests.Progress) {
        waiting = progress.waiting
        changing = progress.changing
        failed = progress.failed
        leftOut = progress.leftOut
    }
}

/// The streams of the source that have consumer groups, if reads by these leave no journal records: `/api/streams`.
package struct StreamsDocument: JSONDocument {
    /// Streams that will be read; `nil` if the request was not to read them.
    @OrNull package var asked: Int?
    /// Streams that are not written at the target yet.
    package var waiting: Int
    /// Keys that could not be read or written, since the process began.
    package var failed: Int
    package var known: Int
    /// Streams for which there was no room.
    package var leftOut: Int
    /// Whether all such streams are known.
    package var complete: Bool
    /// Whether the task is looking for further ones.
    package var walking: Bool

    init(_ requests: OperatorRequests, asked: Int? = nil) {
        let figures = requests.streams.figures
        waiting = requests.unfetchedStreams
        failed = requests.progress(before: 0).failed
        known = figures.count
        leftOut = figures.leftOut
        complete = figures.isComplete
        walking = figures.isWalking
        self.asked = asked
    }
}
