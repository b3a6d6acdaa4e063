import Foundation

extension [Double] {
    /// The middle value, or the mean of the two middle ones; 0 if there are none.
    var median: Double {
        let sorted = self.sorted()
        guard !sorted.isEmpty else { return 0 }
        return (sorted[(count - 1) / 2] + sorted[count / 2]) / 2
    }

    /// The value that the fraction `share` of all does not exceed; 0 if there are none.
    func percentile(_ share: Double) -> Double {
        isEmpty ? 0 : sorted()[Swift.min(Int(Double(count) * share), count - 1)]
    }
}

extension Double {
    /// The number with `digits` digits after the decimal point.
    func fixed(_ digits: Int) -> String { String(format: "%.\(digits)f", self) }
}

extension String {
    func leftPadded(_ width: Int) -> String { String(repeating: " ", count: Swift.max(0, width - count)) + self }
    func rightPadded(_ width: Int) -> String { self + String(repeating: " ", count: Swift.max(0, width - count)) }
}

/// Prints a line at once, even into a pipe.
func say(_ line: String) {
    FileHandle.standardOutput.write(Data((line + "\n").utf8))
}
