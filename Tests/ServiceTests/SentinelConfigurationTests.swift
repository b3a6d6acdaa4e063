import Link
import Redis
import Replication
import Testing

@testable import Service

@Suite struct `A configuration with sentinels` {
    private func yaml(_ sentinel: [String], target: [String] = []) -> String {
        (["source: {addr: \"df:1\"}", "target:"] + target.map { "  " + $0 } + ["  sentinel:"]
            + sentinel.map { "    " + $0 }).joined(separator: "\n") + "\n"
    }

    @Test func `needs no address of the target`() throws {
        let configuration = try load(
            yaml(["master: mymaster", "addrs: [\"a:26379\", \"[::1]:26380\"]", "password: \"1\"", "tls: true"])
        ).configuration
        #expect(configuration.target.sentinel.tls.isEnabled)
        let target = ReplicatorSettings(configuration, mode: .replicate).target
        let sentinel = try #require(target.sentinel)
        #expect(sentinel.master == "mymaster")
        #expect(sentinel.endpoints.map(\.description) == ["a:26379", "[::1]:26380"])
        #expect(sentinel.password == "1")
        #expect(sentinel.tls?.section == "target.sentinel.tls")
        #expect(target.place == "mymaster")
    }

    @Test func `is rejected without a master's name or without addresses`() {
        #expect(
            problems(of: yaml(["master: m"])) == [
                "3:3: target.sentinel.addrs: is required: the host:port of each sentinel"
            ])
        #expect(
            problems(of: yaml(["addrs: \"a:1\""])) == [
                "3:3: target.sentinel.master: is required: the master's name in the sentinels' configuration"
            ])
        #expect(
            problems(of: yaml(["master: m", "adrs: \"a:1\"", "addrs: \"a:1\""])) == [
                "5:5: target.sentinel.adrs: unknown key; did you mean 'addrs'?"
            ])
    }

    @Test func `warns that an address of the target is not used`() throws {
        let loaded = try load(yaml(["master: m", "addrs: \"a:1\""], target: ["addr: redis:1"]))
        #expect(
            loaded.warnings.map(\.description) == [
                "/etc/df2redis/prod.yaml:3:9: target.addr: is not used: the sentinels of target.sentinel name the server"
            ])
    }

    @Test func `takes the sentinels' password from systemd's credentials`() throws {
        let folder = try TemporaryFolder()
        try folder.write("s3cret\n", to: "prod.target-sentinel-password")
        let loaded = try load(
            yaml(["master: m", "addrs: \"a:1\""]), environment: ["CREDENTIALS_DIRECTORY": folder.path])
        #expect(loaded.configuration.target.sentinel.login.password == Secret("s3cret"))
        #expect(loaded.configuration.target.login.password == nil)
    }
}
