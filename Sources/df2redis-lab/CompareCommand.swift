import ArgumentParser
import Lab

/// Compares two servers key by key.
struct CompareCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare",
        abstract: "Compares two servers key by key: types, values, expiry. Exit code 1 when they differ.")

    @Argument(help: "What should be there, as host:port.") var source: String
    @Argument(help: "What is there, as host:port.") var target: String
    @Option(help: "How many differences to print.") var limit = 50

    func run() throws {
        let comparison = try ServerComparison(
            source: Self.connect(source), target: Self.connect(target), limit: limit)
        print("\(comparison.keyCount) keys compared, \(comparison.differenceCount) differ")
        if comparison.isEqual { return }
        print(Difference.report(comparison.differences, limit: limit))
        throw ExitCode(1)
    }

    private static func connect(_ address: String) throws -> RESPClient {
        guard let colon = address.lastIndex(of: ":"), let port = UInt16(address[address.index(after: colon)...]) else {
            throw ValidationError("'\(address)' is not host:port")
        }
        return try RESPClient(host: String(address[..<colon]), port: port)
    }
}
