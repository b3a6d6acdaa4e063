import Testing
import Wire

struct `The reply to INFO` {
    @Test func `is split into fields, with any line ends`() {
        let info = ServerInfo("# Server\r\nrun_id:abc\r\ntcp_port:6379\n\nexecutable:/usr/bin/a:b\r\n# a:comment\r\n")
        #expect(info.fields == ["run_id": "abc", "tcp_port": "6379", "executable": "/usr/bin/a:b"])
        #expect(info["maxmemory"] == nil)
        #expect(ServerInfo(nil).fields.isEmpty)
    }

    @Test func `counts the keys of each database`() {
        let info = ServerInfo(
            "# Keyspace\r\ndb0:keys=5,expires=1,avg_ttl=0\r\ndb12:keys=7\r\ndbsize:keys=9\r\ndb3:x=1\r\n")
        #expect(info.keyCounts == [0: 5, 12: 7])
    }
}
