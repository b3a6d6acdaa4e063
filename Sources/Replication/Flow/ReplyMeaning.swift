import Redis

/// What an unexpected reply means. Each associated text is the target's error.
enum ReplyMeaning: Equatable {
    /// The reply says nothing about the data.
    case nothing
    /// The command had an effect at the source, but the target lacks its key.
    case keyMissing
    /// A value that was built under a temporary name is not there to be renamed.
    case builtValueGone
    /// The entries that an XCLAIM names are not in the stream.
    case entriesGone
    /// The source may have done something else than the target.
    case inDoubt(ReplyDoubt)
    /// A sweep of elements whose TTLs have passed did not remove all of them.
    case elementsLeft
    /// It is not known whether an element had expired at the source when the command ran.
    case elementInDoubt
    /// The command was not sent, because a value that it needs from another slot exceeds a limit.
    case tooLarge(TargetLimits.Excess)
    case databaseRefused(String)
    /// The user lacks a right.
    case denied(String)
    /// The key is a set, whose members have no TTLs at the target.
    case setMembersLackTTLs
    /// The batch may have been applied before, and the command cannot be applied twice.
    case refusedInRepetition(String)
    /// The target refuses a value that was read at the source.
    case refreshRefused(String)
    case scriptRefused(String)
    /// The source journals such a command although it may refuse it itself, so the target does not differ.
    case expected(ExpectedRefusal, String)
    /// A key of the command waits to be read at the source.
    case staleKeyRefused(String)
    case refused(String)
}
