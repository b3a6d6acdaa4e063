/// A value at a master.
package struct SourceValue: Sendable {
    /// The value in the format of `DUMP`; `nil` if there is no such key.
    package var payload: [UInt8]?
    /// Unix time in milliseconds; `nil` if the key has no TTL.
    package var expiresAt: Int64?

    package init(payload: [UInt8]?, expiresAt: Int64?) { (self.payload, self.expiresAt) = (payload, expiresAt) }
}

/// Values, with the next LSN of each shard before the first value was read and after the last one.
package struct SourceReading: Sendable {
    package var before: [LSN]
    package var after: [LSN]
    /// In the order of the request; `nil` for a key that changed or disappeared while it was read.
    package var values: [SourceValue?]
}
