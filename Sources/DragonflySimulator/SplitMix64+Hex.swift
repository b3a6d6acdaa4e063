package import Base

extension SplitMix64 {
    /// `count` lower-case hexadecimal digits, as in replication ids and EOF tokens.
    package mutating func hex(_ count: Int) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: (0..<count).map { _ in digits[Int(next() % 16)] }, as: UTF8.self)
    }
}
