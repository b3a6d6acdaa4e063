/// Finds the password of one side, or the token of the page.
///
/// The first of these wins, so that a password can leave the configuration file without a change to it:
/// 1. the systemd credential `<task>.source-password`, then `source-password`, in `$CREDENTIALS_DIRECTORY`,
/// 2. the file that `passwordFile` names,
/// 3. the `password` in the configuration.
///
/// For the token: `dashboard-token`, `tokenFile` and `token`.
struct PasswordResolver {
    let credentials: CredentialFiles

    /// The chosen password, its origin, and the keys that it overrides.
    struct Choice {
        let password: Secret
        let origin: String
        let shadowed: [String]
        var isCredential = false
        /// The file to read the password from again.
        var file: String?
    }

    struct Failure: Error {
        let message: String
        let isOfPasswordFile: Bool
    }

    /// Returns the password of `side` (`source`, `target`, `target.sentinel` or `dashboard`), or nil when none is configured.
    ///
    /// - Parameter word: the name of the secret in keys and credentials.
    /// - Throws: when a password is configured and cannot be read, or is empty.
    func password(
        of side: String, word: String = "password", passwordFile: String?, inline: Secret?
    ) throws(Failure) -> Choice? {
        let inlineKey = inline == nil ? [] : [word]
        if let (name, password) = try credential("\(side.replacing(".", with: "-"))-\(word)") {
            let shadowed = (passwordFile == nil ? [] : ["\(word)File"]) + inlineKey
            return Choice(
                password: password, origin: "the systemd credential '\(name)'", shadowed: shadowed, isCredential: true)
        }
        if let passwordFile {
            let password: Secret
            do {
                password = try Self.read(passwordFile)
            } catch {
                throw Failure(message: Self.message(about: passwordFile, error), isOfPasswordFile: true)
            }
            return Choice(password: password, origin: "\(word)File", shadowed: inlineKey, file: passwordFile)
        }
        return inline.map { Choice(password: $0, origin: word, shadowed: []) }
    }

    static func message(about file: String, _ failure: TextFile.Failure) -> String {
        failure.text("cannot read \(file)", of: file)
    }

    private func credential(_ base: String) throws(Failure) -> (name: String, password: Secret)? {
        for name in credentials.names(of: base) {
            guard let path = credentials.path(named: name) else { return nil }
            do {
                return (name, try Self.read(path))
            } catch  where error.isMissing {
                continue
            } catch {
                throw Failure(
                    message: "cannot read the systemd credential '\(name)': \(error.reason)", isOfPasswordFile: false)
            }
        }
        return nil
    }

    /// Returns the content of a file, without the newline at its end.
    static func read(_ path: String) throws(TextFile.Failure) -> Secret {
        var text = try TextFile.read(path, limit: 64 << 10)
        if text.last == "\n" || text.last == "\r\n" { text.removeLast() }
        guard !text.isEmpty else { throw TextFile.Failure(reason: "it is empty") }
        return Secret(text)
    }
}
