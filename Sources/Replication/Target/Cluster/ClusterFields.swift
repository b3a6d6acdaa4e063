import Dragonfly

/// Fields of the checkpoint's hash in addition to a flow's position.
enum ClusterFields {
    /// The marks that are expected of the nodes: `NodeWatch`.
    static func nodes(_ flow: FlowID) -> String { "nodes:\(flow)" }
    /// The last record whose commands crossed slots: `CrossingNote`.
    static func crossing(_ flow: FlowID) -> String { "crossing:\(flow)" }
}
