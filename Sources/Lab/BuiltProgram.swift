import Foundation

/// The programs of this package, built beside the running program.
package enum BuiltProgram: String, Sendable {
    case daemon = "df2redis"
    case simulator = "dragonfly-sim"

    /// The path of the program: the one that its environment variable names, otherwise beside the running test bundle
    /// or executable.
    package var path: String {
        let variable = self == .daemon ? "DF2REDIS_BIN" : "DRAGONFLY_SIM_BIN"
        if let named = ProcessInfo.processInfo.environment[variable], !named.isEmpty { return named }
        let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return ((own as NSString).deletingLastPathComponent as NSString).appendingPathComponent(rawValue)
    }
}
