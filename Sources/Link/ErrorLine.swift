import Wire

/// Reads the text of an error reply at the beginning of `bytes`, which a server sends unasked before it ends a connection.
///
/// - Returns: `nil` if `bytes` begin with something else. If the line was cut off, the part that is there.
package func errorLine(in bytes: RawSpan) -> String? {
    var reader = ByteReader(bytes)
    guard reader.peekUInt8() == UInt8(ascii: "-") else { return nil }
    if case .error(let text) = try? reader.readRESPValue() { return text }
    let line = bytes.withUnsafeBytes { $0.dropFirst().prefix(512).prefix { $0 != UInt8(ascii: "\r") } }
    return String(decoding: line, as: UTF8.self)
}
