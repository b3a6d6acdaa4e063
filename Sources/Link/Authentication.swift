/// The arguments of AUTH, as Redis, Valkey and Dragonfly take them.
///
/// - Returns: `nil` without a password, because no authentication is needed then.
package func authentication(user: String?, password: String?) -> [String]? {
    guard let password else { return nil }
    return user.map { ["AUTH", $0, password] } ?? ["AUTH", password]
}
