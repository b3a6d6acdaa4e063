/// A value that can be a word of a request: bytes as they are, text as UTF-8, a number in decimal.
package protocol RequestWord {
    var bytes: [UInt8] { get }
}

extension StringProtocol {
    package var bytes: [UInt8] { Array(utf8) }
}

extension BinaryInteger {
    package var bytes: [UInt8] { "\(self)".bytes }
}

extension String: RequestWord {}
extension Substring: RequestWord {}
extension Int: RequestWord {}
extension Int64: RequestWord {}

extension [UInt8]: RequestWord {
    package var bytes: [UInt8] { self }

    /// A copy of the bytes.
    package init(copying span: RawSpan) { self = span.withUnsafeBytes { Array($0) } }
}
