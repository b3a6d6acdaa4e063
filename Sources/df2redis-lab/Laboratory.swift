import ArgumentParser

/// The laboratory around df2redis: not installed, run by `make demo` and `make bench`.
@main struct Laboratory: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "df2redis-lab", abstract: "Shows and measures df2redis between real processes on this machine.",
        discussion: """
            A real Dragonfly is the master when DRAGONFLY_BIN names its binary, else the simulated one. The target is \
            redis-server, or what REDIS_SERVER or VALKEY_SERVER names. The programs of this package are those that \
            were built beside this one.
            """,
        subcommands: [
            DemoCommand.self, CompareCommand.self, BenchCommand.self, TortureCommand.self, RefreshesCommand.self,
        ])
}
