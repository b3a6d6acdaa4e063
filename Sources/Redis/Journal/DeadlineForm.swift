import Wire

/// The form in which a command gives a deadline: in seconds or milliseconds, relative or since 1970.
struct DeadlineForm {
    var isSeconds: Bool
    var isRelative: Bool

    init(isSeconds: Bool, isRelative: Bool) {
        (self.isSeconds, self.isRelative) = (isSeconds, isRelative)
    }

    /// Makes the form of an option of SET; `nil` if the option gives no deadline.
    init?(option: RawSpan) {
        if option.isWord("PXAT") {
            self.init(isSeconds: false, isRelative: false)
        } else if option.isWord("EX") {
            self.init(isSeconds: true, isRelative: true)
        } else if option.isWord("PX") {
            self.init(isSeconds: false, isRelative: true)
        } else if option.isWord("EXAT") {
            self.init(isSeconds: true, isRelative: false)
        } else {
            return nil
        }
    }

    /// The deadline that `value` means, in Unix milliseconds; `nil` if it is out of range.
    func deadline(_ value: Int64, now: Int64) -> Int64? {
        let (product, overflows) = value.multipliedReportingOverflow(by: isSeconds ? 1000 : 1)
        let (sum, passes) = product.addingReportingOverflow(isRelative ? now : 0)
        return overflows || passes ? nil : sum
    }
}
