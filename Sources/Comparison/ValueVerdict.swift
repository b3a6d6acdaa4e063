/// The result of comparing the two values of a key.
enum ValueVerdict {
    case equal
    case differs(KeyDifference.Kind, source: String? = nil, target: String? = nil)
    /// The first pieces do not reach the ends of the values.
    case isLarge
    /// The key has been removed, or has got another type, since its type was read.
    case hasChanged
}
