// swift-tools-version: 6.2
import PackageDescription

// Every module of ours is Swift 6, warnings are errors. `Lifetimes` lets the parsers of `Wire` store a `RawSpan`.
let strict: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableExperimentalFeature("Lifetimes"),
]

// What the bytes of a flow go through, for each key and record. The run-time checks of exclusive access, which catch only what a
// programmer has got wrong, take a fifth of the CPU there; they stay in debug builds, which all tests run.
let hot = strict + [.unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release))]

let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")

// The fuzzers are executables without a main of their own (libFuzzer brings it), so an ordinary build must not see them.
let fuzzers: [Target] =
    Context.environment["DF2REDIS_FUZZ"] == nil
    ? []
    : ["FuzzSnapshot", "FuzzJournal"].map { name in
        .executableTarget(
            name: name, dependencies: ["Wire"], path: "Tests/Fuzz/\(name)",
            swiftSettings: strict + [.unsafeFlags(["-parse-as-library"])])
    }

let package = Package(
    name: "df2redis",
    products: [
        .executable(name: "df2redis", targets: ["df2redis"]),
        .executable(name: "dragonfly-sim", targets: ["dragonfly-sim"]),
        .executable(name: "df2redis-lab", targets: ["df2redis-lab"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0", traits: []),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: []),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        // C
        .target(name: "CSystemd", linkerSettings: [.linkedLibrary("systemd")]),
        .target(name: "CStandardDescriptors"),
        .systemLibrary(name: "CLZ4", pkgConfig: "liblz4", providers: [.apt(["liblz4-dev"])]),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),

        // The daemon. Dependencies point down only.
        .target(name: "Base", swiftSettings: strict),
        .target(name: "Wire", dependencies: ["CLZ4", "CZstd"], swiftSettings: hot),
        .target(name: "Link", dependencies: ["Base", "COpenSSL", "Wire"], swiftSettings: strict),
        .target(name: "Dragonfly", dependencies: ["Link", "Wire", logging], swiftSettings: strict),
        .target(name: "Redis", dependencies: ["Link", "Wire", logging], swiftSettings: hot),
        .target(
            name: "Replication",
            dependencies: [
                "Dragonfly", "Redis", "Link", "Wire", logging,
                .product(name: "DequeModule", package: "swift-collections"),
            ],
            swiftSettings: hot),
        .target(name: "Servers", dependencies: ["Dragonfly", "Redis", "Link", "Wire"], swiftSettings: strict),
        .target(
            name: "Comparison", dependencies: ["Servers", "Dragonfly", "Redis", "Link", "Wire"], swiftSettings: strict),
        .target(
            name: "Preflight", dependencies: ["Replication", "Servers", "Dragonfly", "Redis", "Link", "Wire"],
            swiftSettings: strict),
        .target(name: "Systemd", dependencies: ["Base", "CSystemd", logging], swiftSettings: strict),
        .target(
            name: "Dashboard",
            dependencies: [
                "Base", "Dragonfly", "Replication", logging,
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: strict),
        .target(
            name: "Service",
            dependencies: [
                "Base", "Comparison", "Dashboard", "Preflight", "Replication", "Servers", "Dragonfly", "Redis", "Link",
                "Systemd", logging, .product(name: "Yams", package: "Yams"),
            ],
            swiftSettings: strict),
        .executableTarget(
            name: "df2redis",
            dependencies: [
                "Comparison", "CStandardDescriptors", "Dashboard", "Service",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict),

        // A master for tests, the demo and the benches; the laboratory around it. Neither is installed.
        .target(name: "DragonflySimulator", dependencies: ["Base", "CLZ4", "CZstd", "Wire"], swiftSettings: strict),
        .executableTarget(
            name: "dragonfly-sim",
            dependencies: [
                "DragonflySimulator", .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict),
        .target(name: "Lab", dependencies: ["Base", "COpenSSL", "DragonflySimulator", "Wire"], swiftSettings: strict),
        .executableTarget(
            name: "df2redis-lab",
            dependencies: ["Lab", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            swiftSettings: strict),

        .testTarget(name: "BaseTests", dependencies: ["Base", "Lab"], swiftSettings: strict),
        .testTarget(
            name: "WireTests", dependencies: ["Base", "Wire", "CLZ4", "COpenSSL", "CZstd"], swiftSettings: strict),
        .testTarget(name: "LinkTests", dependencies: ["COpenSSL", "Link", "Lab", "Wire"], swiftSettings: strict),
        .testTarget(
            name: "DragonflyTests", dependencies: ["Dragonfly", "DragonflySimulator", "Lab", "Link", "Wire"],
            swiftSettings: strict),
        .testTarget(name: "RedisTests", dependencies: ["Redis", "Lab"], swiftSettings: strict),
        .testTarget(
            name: "ReplicationTests", dependencies: ["Replication", "Lab", "DragonflySimulator"], swiftSettings: strict),
        .testTarget(
            name: "ComparisonTests",
            dependencies: [
                "Comparison", "Servers", "Dragonfly", "Lab", "Link", "Redis", "Wire",
            ],
            swiftSettings: strict),
        .testTarget(
            name: "PreflightTests",
            dependencies: [
                "Preflight", "Replication", "Servers", "Dragonfly", "DragonflySimulator", "Lab", "Link", "Redis",
                "Wire",
                logging,
            ],
            swiftSettings: strict),
        .testTarget(name: "SystemdTests", dependencies: ["Base", "Lab", "Systemd"], swiftSettings: strict),
        .testTarget(
            name: "DashboardTests",
            dependencies: ["Dashboard", "Base", "Dragonfly", "Lab", "Link", "Replication", logging],
            swiftSettings: strict),
        .testTarget(
            name: "ServiceTests",
            dependencies: ["Service", "Dashboard", "Replication", "Dragonfly", "Lab", "Link", "Redis", "Wire"],
            swiftSettings: strict),
        .testTarget(
            name: "SimulatorTests", dependencies: ["Base", "DragonflySimulator", "Wire"], swiftSettings: strict),
        .testTarget(
            name: "IntegrationTests",
            dependencies: ["Base", "Lab", "DragonflySimulator", "Wire", "df2redis", "dragonfly-sim"],
            resources: [.copy("Recordings")], swiftSettings: strict),
    ] + fuzzers,
    swiftLanguageModes: [.v6]
)
