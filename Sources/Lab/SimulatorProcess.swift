import Foundation

/// `dragonfly-sim` in a separate process.
package final class SimulatorProcess {
    package let port: UInt16
    package let process: ChildProcess
    private let folder: TemporaryFolder

    /// Starts a simulated master on a free port.
    ///
    /// - Parameter options: the arguments after `dragonfly-sim serve --port 0 --print-port`.
    package init(_ options: [String]) throws {
        folder = try TemporaryFolder("simulator")
        let process = try ChildProcess(
            BuiltProgram.simulator.path, ["serve", "--port", "0", "--print-port"] + options,
            output: folder.file("output"), error: folder.file("log"))
        var port: UInt16?
        try wait(until: "dragonfly-sim prints its port", timeout: .seconds(120)) {
            guard process.isRunning else {
                throw LabError("dragonfly-sim ended instead of serving:\n\(process.outputTail())")
            }
            let text = process.output
            port = text.firstIndex(of: "\n").flatMap { UInt16(text[..<$0]) }
            return port != nil
        }
        self.process = process
        self.port = port ?? 0
    }

    deinit { process.kill() }

    /// Ends the master and returns the violations that it saw: what its replicas did that harms a real master, such as
    /// an RST instead of FIN.
    @discardableResult
    package func stop() -> [String] {
        process.terminate()
        return process.errorOutput.split(separator: "\n").filter { $0.hasPrefix("violation:") }.map(String.init)
    }
}
