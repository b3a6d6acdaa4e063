import Glibc
import Testing

@testable import Service

@Suite struct `The user of a task's unit` {
    private let folder: TemporaryFolder
    private let user: UnitUser

    init() throws {
        folder = try TemporaryFolder()
        var user = UnitUser(name: "df2redis", user: 54_321, groups: [54_322])
        // The tests' files are in /tmp.
        user.hiddenFolders = user.hiddenFolders.filter { $0.value != "PrivateTmp=" }
        self.user = user
        chmod(folder.path, 0o755)
    }

    private func file(_ name: String, mode: mode_t) throws -> String {
        let path = try folder.write("secret", to: name)
        chmod(path, mode)
        return path
    }

    @Test func `cannot read a private file, or a file in a private folder`() throws {
        let open = try file("open", mode: 0o644)
        #expect(user.obstacle(to: open) == nil)
        #expect(user.obstacle(to: try file("own", mode: 0o600)) == .unreadable)
        #expect(user.obstacle(to: folder.path + "/none") == nil, "a fault of its own")

        let within = try file("closed/f", mode: 0o644)
        chmod(folder.path + "/closed", 0o700)
        #expect(user.obstacle(to: within) == .closed(folder: folder.path + "/closed"))
        symlink(within, folder.path + "/link")
        #expect(user.obstacle(to: folder.path + "/link") == .closed(folder: folder.path + "/closed"))
        chmod(folder.path + "/closed", 0o711)
        #expect(user.obstacle(to: within) == nil)
    }

    @Test func `can read files of their own and of their group`() throws {
        let path = try file("f", mode: 0o640)
        var info = stat()
        #expect(stat(path, &info) == 0)
        func obstacle(_ user: uid_t, _ group: gid_t) -> UnitUser.Obstacle? {
            var other = UnitUser(name: "u", user: user, groups: [group])
            other.hiddenFolders = [:]
            return other.obstacle(to: path)
        }
        #expect(obstacle(info.st_uid, 54_322) == nil)
        #expect(obstacle(54_321, info.st_gid) == nil)
        #expect(obstacle(54_321, 54_322) == .unreadable)
        // For the owner the group's permissions do not count.
        chmod(path, 0o040)
        #expect(obstacle(info.st_uid, info.st_gid) == .unreadable)
    }

    @Test func `cannot read files that the unit's sandbox hides`() {
        let user = UnitUser(name: "df2redis", user: 54_321, groups: [54_322])
        #expect(user.obstacle(to: "/root/pf.pw") == .hidden(folder: "/root", setting: "ProtectHome="))
        #expect(user.obstacle(to: "/tmp/pf.pw") == .hidden(folder: "/tmp", setting: "PrivateTmp="))
        #expect(user.obstacle(to: "/roots/pf.pw") == nil)
        #expect(
            UnitUser.Obstacle.hidden(folder: "/root", setting: "ProtectHome=").text("/root/pf.pw", for: user)
                == "the task's unit has no access to what is in /root (ProtectHome=), and so not to /root/pf.pw: move it to /etc/df2redis, chown root:df2redis and chmod 0640 it"
        )
    }

    @Test func `is named in a warning about a service's file that they cannot read`() throws {
        let password = try file("pw", mode: 0o600)
        let yaml = minimal.replacing("source:\n", with: "source:\n  passwordFile: \(password)\n")
        let loader = ConfigurationLoader(environment: [:], places: nil) { [user] _ in user }
        func warnings(_ file: String) throws -> [String] {
            try loader.load(yaml: yaml, file: file).warnings.map(\.description)
        }
        #expect(
            try warnings("/etc/df2redis/prod.yaml") == [
                "/etc/df2redis/prod.yaml:2:17: source.passwordFile: the user of the task's unit, df2redis, may not read it: chown root:df2redis \(password) && chmod 0640 \(password)"
            ])
        #expect(try warnings("/srv/prod.yaml").isEmpty, "no unit reads it")
        chmod(password, 0o644)
        #expect(try warnings("/etc/df2redis/prod.yaml").isEmpty)
    }
}
