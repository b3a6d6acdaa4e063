package import Wire

extension TargetProfile {
    /// Why a value of `type` cannot be written to the target in any way; `nil` when it can.
    package func unsupported(_ type: RDBType) -> Unsupported? {
        switch type {
        case .json: hasJSON ? nil : .json
        case .bloomFilter, .bloomFilterChunked: .bloom
        case .countMinSketch: .countMinSketch
        case .topK: .topK
        case .cuckooFilter: .cuckoo
        default: nil
        }
    }

    /// A value of the type that TYPE calls `name` at the source cannot be written to the target in any way.
    package func lacksType(named name: String) -> Bool {
        switch name {
        case "string", "hash", "set", "zset", "list", "stream": false
        case "ReJSON-RL": unsupported(.json) != nil
        // Filters and sketches.
        default: true
        }
    }
}
