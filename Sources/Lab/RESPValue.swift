/// A RESP2 reply, taken apart.
package enum RESPValue: Equatable, Sendable {
    case simple(String)
    case error(String)
    case integer(Int64)
    /// A bulk string; `nil` is the null one.
    case bulk([UInt8]?)
    /// An array; `nil` is the null one.
    case array([RESPValue]?)
}
