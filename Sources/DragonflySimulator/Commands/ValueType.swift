/// A type of value as the commands of its family see it: how its contents are taken out of a `Value`, and put into one.
struct ValueType<Contents> {
    /// What a key holds that is not there.
    let empty: Contents
    let wrap: (Contents) -> Value
    /// What commands may change; `nil`: a value of another type, or one with expiries of its own.
    let contents: (Value) -> Contents?
    /// What commands may read; `nil`: a value of another type.
    let view: (Value) -> Contents?

    init(
        empty: Contents, wrap: @escaping (Contents) -> Value, contents: @escaping (Value) -> Contents?,
        view: ((Value) -> Contents?)? = nil
    ) {
        (self.empty, self.wrap, self.contents, self.view) = (empty, wrap, contents, view ?? contents)
    }
}

extension ValueType where Contents == [UInt8] {
    static var string: Self {
        Self(empty: [], wrap: Value.string) { if case .string(let bytes) = $0 { bytes } else { nil } }
    }
}

extension ValueType where Contents == [[UInt8]] {
    static var list: Self {
        Self(empty: [], wrap: Value.list) { if case .list(let elements) = $0 { elements } else { nil } }
    }
}

extension ValueType where Contents == Set<[UInt8]> {
    static var set: Self {
        Self(
            empty: [], wrap: Value.set,
            contents: { if case .set(let members) = $0 { members } else { nil } },
            view: {
                switch $0 {
                case .set(let members): members
                case .expiringSet(let members): Set(members.keys)
                default: nil
                }
            })
    }
}

extension ValueType where Contents == [[UInt8]: [UInt8]] {
    static var hash: Self {
        Self(
            empty: [:], wrap: Value.hash,
            contents: { if case .hash(let fields) = $0 { fields } else { nil } },
            view: {
                switch $0 {
                case .hash(let fields): fields
                case .expiringHash(let fields): fields.mapValues(\.value)
                default: nil
                }
            })
    }
}

extension ValueType where Contents == [[UInt8]: Double] {
    static var zset: Self {
        Self(empty: [:], wrap: Value.zset) { if case .zset(let members) = $0 { members } else { nil } }
    }
}

extension ValueType where Contents == StreamValue {
    static var stream: Self {
        Self(empty: StreamValue(), wrap: Value.stream) { if case .stream(let stream) = $0 { stream } else { nil } }
    }
}
