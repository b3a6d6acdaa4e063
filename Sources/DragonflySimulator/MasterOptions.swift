/// The settings of a simulated master; the defaults are those of a v1.36.0 master without a password.
package struct MasterOptions: Sendable {
    /// 0 takes a free port.
    package var port: UInt16 = 0
    /// Listens on all addresses instead of 127.0.0.1 only, for tests that have their own network.
    package var listensOnAllAddresses = false
    package var shardCount = 2
    package var version = DragonflyVersion.reference
    /// The protocol number in the handshake; `nil` for the one of `version`.
    package var protocolNumber: Int64?
    /// 40 hexadecimal characters; `nil` for a random id. Each `restart()` takes a new random one.
    package var replicationID: String?

    package var user = "default"
    /// `nil` if no AUTH is required.
    package var password: String?

    /// The server is itself a replica: `capa dragonfly` is refused.
    package var isReplica = false
    /// The server is a Redis: `capa dragonfly` answers a plain `+OK`.
    package var isRedis = false

    /// Journal records that each shard keeps for PARTIAL; 0 switches partial sync off.
    package var backlogRecords = 8192

    package var compression = Compression.lz4
    /// Whether values over `chunkBytes` are sent as tagged chunks; `nil` for the default of `version`.
    package var taggedChunks: Bool?
    /// The size of a flush in the middle of a large value, and of a tagged chunk.
    package var chunkBytes = 64 << 10

    /// The number of pending bytes on a flow that blocks the master's writers.
    package var outputLimitBytes = 1 << 20
    /// A session ends if one of its flows takes no bytes for this long.
    package var replicationTimeout = Duration.seconds(30)
    /// `SO_SNDBUF` of accepted connections; `nil`: the kernel's.
    package var sendBufferBytes: Int32?
    /// How long a connection whose both ends have sent FIN is watched for unread data.
    package var lingerLimit = Duration.seconds(2)
    /// The time after which a flow's next record is followed by an LSN record again.
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
