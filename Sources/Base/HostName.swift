import Glibc

/// Returns the name of this machine.
package func hostName() -> String {
    var name = [CChar](repeating: 0, count: 256)
    gethostname(&name, name.count - 1)
    return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

/// Returns the name of this machine with its domain, as the resolver knows it. Blocks, for as long as a name server does not answer.
package func canonicalHostName() -> String? {
    var hints = addrinfo()
    hints.ai_flags = AI_CANONNAME
    var found: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(hostName(), nil, &hints, &found) == 0 else { return nil }
    defer { freeaddrinfo(found) }
    return found?.pointee.ai_canonname.map { String(cString: $0) }
}
