import Base
import Glibc

/// The names under which a page without a token is served.
///
/// Whoever opens a web page of an attacker lets it ask this server too: the attacker's name then resolves to our address (DNS
/// rebinding), and the browser takes the answers for the attacker's own. Such a request has that name in `Host`, and an attacker can
/// have neither an address there nor a name of this host. (Where a token is set, it is what the attacker lacks.)
final class ServedNames: Sendable {
    private let names: Lock<Set<String>>

    /// - Parameters:
    ///   - address: where the page listens; its host may be a name.
    ///   - host: the name of this machine.
    init(_ address: ListenAddress, host: String = hostName()) {
        names = Lock(["localhost"])
        for name in address.hosts + [host] { insert(name) }
    }

    /// With its domain, its first part alone is a name of the host too.
    private func insert(_ name: String) {
        guard !name.isEmpty, !Self.isAddress(name) else { return }
        let name = name.lowercased()
        names.withLock { $0.formUnion([name, String(name.prefix { $0 != "." })]) }
    }

    /// Asks the resolver for the name of this machine with its domain; returns at once.
    func learnCanonicalName() {
        detachThread { [self] in
            if let name = canonicalHostName() { insert(name) }
        }
    }

    /// - Parameter authority: the value of `Host`; `nil` if there is none, which is no browser's.
    func accepts(_ authority: String?) -> Bool {
        guard let authority, !authority.isEmpty else { return true }
        let host = Self.host(of: authority)
        return Self.isAddress(host) || host.hasSuffix(".localhost") || names.withLock { $0.contains(host) }
    }

    /// The host in `host`, `host:port` or `[address]:port`, in small letters and without the dot of the root.
    private static func host(of authority: String) -> String {
        if authority.hasPrefix("[") { return String(authority.dropFirst().prefix { $0 != "]" }) }
        let host = authority.prefix { $0 != ":" }.lowercased()
        return host.hasSuffix(".") ? String(host.dropLast()) : host
    }

    private static func isAddress(_ host: String) -> Bool {
        var (four, six) = (in_addr(), in6_addr())
        return inet_pton(AF_INET, host, &four) == 1 || inet_pton(AF_INET6, host, &six) == 1
    }
}
