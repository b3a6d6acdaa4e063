package import Link

/// Written `host:port`, an IPv6 address in brackets: `[2001:db8::1]:6379`.
extension Endpoint {
    /// Parses an address to connect to: a host and a port from 1.
    package init?(connecting text: String) {
        self.init(text)
        guard !host.isEmpty, port > 0 else { return nil }
    }

    /// Parses an address to listen on: the host may be missing (all interfaces), port 0 lets the system choose.
    package init?(listening text: String) {
        self.init(text)
    }

    /// Whether only this host can reach the address. A name other than `localhost` counts as one that other hosts resolve
    /// too.
    package var isLoopback: Bool { host == "localhost" || host == "::1" || host.hasPrefix("127.") }

    private init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":") else { return nil }
        let digits = text[text.index(after: colon)...]
        guard !digits.isEmpty, digits.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
            let port = UInt16(digits)
        else { return nil }

        let host = text[..<colon]
        if host.hasPrefix("[") {
            let inner = host.dropFirst().dropLast()
            guard host.hasSuffix("]"), inner.contains(":"), Self.isNumericIPv6(inner) else { return nil }
            self.init(host: String(inner), port: port)
        } else {
            guard host.utf8.allSatisfy(Self.isHostByte) else { return nil }
            self.init(host: String(host), port: port)
        }
    }

    /// Whether only the bytes of a numeric IPv6 address with an optional zone are here; the resolver checks the rest.
    private static func isNumericIPv6(_ text: Substring) -> Bool {
        let parts = text.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
        let zone = parts.count == 2 ? parts[1] : "-"
        return !zone.isEmpty && zone.utf8.allSatisfy(isHostByte)
            && parts[0].allSatisfy { $0.isASCII && ($0.isHexDigit || $0 == ":" || $0 == ".") }
    }

    private static func isHostByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"):
            true
        default:
            false
        }
    }
}
