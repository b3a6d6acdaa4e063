/// How a simulated master is set up; the defaults are those of a v1.36.0 master without a password.
package struct MasterOptions: Sendable {
    /// 0 takes a free port.
    package var port: UInt16 = 0
    /// Not on 127.0.0.1 only: for tests over a network of their own.
    package var listensOnAllAddresses = false
    package var shardCount = 2
    package var version = DragonflyVersion.reference
    /// The number given in the handshake; `nil`: the one of `version`.
    package var protocolNumber: Int64?
    /// 40 hexadecimal characters; `nil`: random, a new one after each `restart()`.
    package var replicationID: String?

    package var user = "default"
    /// `nil`: no AUTH is asked for.
    package var password: String?

    /// The server is itself a replica: `capa dragonfly` is refused.
    package var isReplica = false
    /// The server is a Redis: `capa dragonfly` answers a plain `+OK`.
    package var isRedis = false

    /// Journal records that each shard keeps for PARTIAL; 0 switches partial sync off.
    package var backlogRecords = 8192

    package var compression = Compression.lz4
    /// Values over `chunkBytes` come as tagged chunks; `nil`: as `version` does by default.
    package var taggedChunks: Bool?
    /// The size of a flush in the middle of a large value, and of a tagged chunk.
    package var chunkBytes = 64 << 10

    /// Bytes pending on a flow that block the master's writers.
    package var outputLimitBytes = 1 << 20
    /// A flow that takes nothing for so long ends its session.
    package var replicationTimeout = Duration.seconds(30)
    /// `SO_SNDBUF` of accepted connections; `nil`: the kernel's.
    package var sendBufferBytes: Int32?
    /// How long a connection whose both ends have sent FIN is watched for unread data.
    package var lingerLimit = Duration.seconds(2)
    /// Records between two LSN records of a flow are sent within this time.
    package var lsnRecordInterval = Duration.seconds(3)

    /// How far TIME is ahead of the true time, in milliseconds.
    package var clockSkew: Int64 = 0

    package var sendsTaggedChunks: Bool { taggedChunks ?? version.sendsTaggedChunks }

    package init() {}
}

/// `--compression_mode` of the master.
package enum Compression: String, Sendable, CaseIterable {
    case none, lzf, zstd, lz4
}
