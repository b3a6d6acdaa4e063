/// Bytes that a channel writes and somebody else keeps, such as a batch that may have to be sent again.
///
/// Used on the channel's queue only.
package protocol OutgoingBytes: AnyObject {
    var unwrittenBytes: Int { get }
    /// Hands the bytes that come next, at least one, to `body`, which returns how many of them have been written.
    func write(_ body: (UnsafeRawBufferPointer) throws(SystemError) -> Int) throws(SystemError)
}
