import Foundation

/// The programs of this package, as they were built beside the one that runs.
package enum BuiltProgram: String, Sendable {
    case daemon = "df2redis"
    case simulator = "dragonfly-sim"

    /// Where the program is: what its environment variable names, else beside the test bundle or executable that runs.
    package var path: String {
        let variable = self == .daemon ? "DF2REDIS_BIN" : "DRAGONFLY_SIM_BIN"
        if let named = ProcessInfo.processInfo.environment[variable], !named.isEmpty { return named }
        let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return ((own as NSString).deletingLastPathComponent as NSString).appendingPathComponent(rawValue)
    }
}
