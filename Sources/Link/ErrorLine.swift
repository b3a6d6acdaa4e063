import Wire

/// The text of an error reply that `bytes` begin with: what a server says unasked before it ends a connection.
///
/// - Returns: `nil` when they begin with something else. A line that was cut off counts as far as it goes.
package func errorLine(in bytes: RawSpan) -> String? {
    var reader = ByteReader(bytes)
    guard reader.peekUInt8() == UInt8(ascii: "-") else { return nil }
    if case .error(let text) = try? reader.readRESPValue() { return text }
    let line = bytes.withUnsafeBytes { $0.dropFirst().prefix(512).prefix { $0 != UInt8(ascii: "\r") } }
    return String(decoding: line, as: UTF8.self)
}
