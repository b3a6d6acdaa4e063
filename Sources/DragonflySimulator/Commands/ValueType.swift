/// A value type as its commands see it: converts between a `Value` and its contents.
struct ValueType<Contents> {
    /// The contents that stand for a missing key.
    let empty: Contents
    let wrap: (Contents) -> Value
    /// Returns the contents for a change; `nil` if the value has another type, or members with their own expiries.
    let contents: (Value) -> Contents?
    /// Returns the contents for reading; `nil` if the value has another type.
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
