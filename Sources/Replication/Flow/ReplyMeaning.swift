import Redis

/// What a reply means that its command did not hope for. Texts are the target's.
enum ReplyMeaning: Equatable {
    /// It says nothing of the data.
    case nothing
    /// The command had an effect at the source, and the target lacks its key.
    case keyMissing
    /// A value that was built aside is not there to be published.
    case builtValueGone
    /// The entries that an XCLAIM names are not in the stream.
    case entriesGone
    /// A sweep of elements' TTLs has left some.
    case elementsLeft
    /// Nobody knows whether an element had ended when its command ran.
    case elementInDoubt
    /// It was not sent: a value would have to be taken to another slot.
    case tooLarge(TargetLimits.Excess)
    case databaseRefused(String)
    /// The user lacks a right.
    case denied(String)
    /// The key is a set, whose members have no TTLs at the target.
    case setMembersLackTTLs
    /// The batch may have been applied before: a command may not be taken twice.
    case refusedInRepetition(String)
    /// The value was read at the source.
    case refreshRefused(String)
    case scriptRefused(String)
    /// The target does not differ by it.
    case expected(ExpectedRefusal, String)
    /// A key of the command waits to be read at the source.
    case staleKeyRefused(String)
    case refused(String)
}
