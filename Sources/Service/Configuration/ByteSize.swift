/// Sizes in bytes as a configuration writes them: `268435456`, `256MiB`, `8GiB`.
enum ByteSize {
    private static let units: [(name: String, shift: Int)] = [
        ("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0),
    ]

    /// Returns the number of bytes, or nil for anything but a whole number with one of the units or none.
    ///
    /// `MB` and its like are refused because half of their readers take them for 10^6.
    static func parse(_ text: String) -> Int? {
        let digits = text.prefix { $0.isASCII && $0.isWholeNumber }
        guard let number = Int(digits) else { return nil }
        let unit = text[digits.endIndex...].drop { $0 == " " }
        guard !unit.isEmpty else { return digits.endIndex == text.endIndex ? number : nil }
        guard let shift = units.first(where: { $0.name.lowercased() == unit.lowercased() })?.shift else { return nil }
        let (bytes, overflow) = number.multipliedReportingOverflow(by: 1 << shift)
        return overflow ? nil : bytes
    }

    /// Returns the size in the largest unit that divides it.
    static func text(_ bytes: Int) -> String {
        guard bytes != 0, let unit = units.first(where: { bytes & ((1 << $0.shift) - 1) == 0 }), unit.shift > 0 else {
            return String(bytes)
        }
        return "\(bytes >> unit.shift)\(unit.name)"
    }
}
