public import Glibc

/// A value protected by a mutex, for small state that several queues share.
///
/// `Synchronization.Mutex` would do, but gives false reports under the thread sanitizer (Swift 6.3 on Linux). Public for the
/// same reason as `MappedTable`.
public final class Lock<Value>: @unchecked Sendable {  // every access to `value` is between lock and unlock
    @usableFromInline let mutex: UnsafeMutablePointer<pthread_mutex_t>
    @usableFromInline var value: Value

    package init(_ value: Value) {
        self.value = value
        mutex = .allocate(capacity: 1)
        mutex.initialize(to: pthread_mutex_t())
        let code = pthread_mutex_init(mutex, nil)
        precondition(code == 0, "a default mutex can be made")
    }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    /// Can be specialized in other modules, because hot paths take a lock for each read.
    @inlinable public func withLock<R, E: Error>(_ body: (inout Value) throws(E) -> R) throws(E) -> R {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body(&value)
    }
}
