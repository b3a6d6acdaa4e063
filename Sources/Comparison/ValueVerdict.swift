/// What a look at the two values of a key has given.
enum ValueVerdict {
    case equal
    case differs(KeyDifference.Kind, source: String? = nil, target: String? = nil)
    /// The first pieces do not reach the end of the values.
    case isLarge
    /// The key was given another type, or was removed, since its type was read.
    case hasChanged
}
