import COpenSSL

/// SHA-256 as hexadecimal text: the recordings keep long values as digests.
func sha256(_ message: [UInt8]) -> String {
    var digest = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
    var count: UInt32 = 0
    let code = EVP_Digest(message, message.count, &digest, &count, EVP_sha256(), nil)
    precondition(code == 1, "SHA-256 needs nothing but memory")
    return digest[..<Int(count)].map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}
