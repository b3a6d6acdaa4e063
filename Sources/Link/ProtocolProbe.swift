import Wire

/// Finds out, on a connection of its own, whether a server that does not answer as expected speaks TLS or plaintext.
enum ProtocolProbe {
    /// Whether an unencrypted PING gets a reply. An error that asks for TLS does not count.
    static func speaksPlaintext(_ endpoint: Endpoint, within limit: Duration) async -> Bool {
        let connection = try? await RequestConnection.connect(
            to: endpoint, tls: nil, label: "df2redis.probe", timeout: limit)
        guard let connection else { return false }
        let reply = try? await connection.exchange([[Array("PING".utf8)]], timeout: limit)[0]
        await connection.close()
        if let text = reply?.errorText { return !text.contains("TLS") }
        return reply != nil
    }

    /// Whether a TLS handshake gets an answer, regardless of the certificates that it requires and presents.
    static func speaksTLS(_ endpoint: Endpoint, within limit: Duration) async -> Bool {
        var settings = TLSSettings(section: "")
        settings.skipsVerification = true
        do {
            let connection = try await RequestConnection.connect(
                to: endpoint, tls: settings, label: "df2redis.probe", timeout: limit)
            await connection.close()
            return true
        } catch RequestFailure.tls(let error) {
            return error.code == .clientCertificate || error.code == .version
        } catch {
            return false
        }
    }
}
