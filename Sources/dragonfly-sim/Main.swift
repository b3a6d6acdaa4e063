import ArgumentParser

@main struct DragonflySim: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dragonfly-sim",
        abstract: "A simulated Dragonfly master for tests, the demo and benches.",
        subcommands: [Serve.self])
}
