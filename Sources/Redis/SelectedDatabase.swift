import Link

/// The database that a connection is in, as far as is known.
final class SelectedDatabase: Sendable {
    private let state = Lock<UInt32?>(0)

    /// The number of the database; `nil` if it is not known.
    var number: UInt32? {
        get { state.withLock { $0 } }
        set { state.withLock { $0 = newValue } }
    }
}
