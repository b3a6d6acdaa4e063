/// Bytes that a channel writes but does not own, such as a batch that may have to be sent again.
///
/// Used on the channel's queue only.
package protocol OutgoingBytes: AnyObject {
    var unwrittenBytes: Int { get }
    /// Hands the next bytes, at least one, to `body`, which returns how many of them have been written.
    func write(_ body: (UnsafeRawBufferPointer) throws(SystemError) -> Int) throws(SystemError)
}
