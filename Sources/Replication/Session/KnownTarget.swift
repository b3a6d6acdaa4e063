import Redis

/// What a session has learned about its target. It is empty before the opening's second step.
@SessionActor
final class KnownTarget {
    /// The commands that the target's ACL allows.
    private(set) var rights = TargetRights()
    private(set) var databaseCount: UInt32 = 0
    private(set) var profile: TargetProfile?
    /// Other tasks fill the target too.
    private(set) var hasOtherTasks = false
    /// The contents of the databases just before the session began; `nil` if unknown or no longer true.
    private var survey: DatabaseSurvey?

    func learn(_ profile: TargetProfile, _ rights: TargetRights, databaseCount: UInt32, hasOtherTasks: Bool) {
        (self.profile, self.rights) = (profile, rights)
        (self.databaseCount, self.hasOtherTasks) = (databaseCount, hasOtherTasks)
    }

    func learn(_ survey: DatabaseSurvey?) { self.survey = survey }

    /// How long after a survey an empty database is assumed to be still empty.
    static let surveyLifetime = Duration.seconds(1)

    /// Returns the survey once, and `nil` if it is too old to rely on.
    func takeSurvey(at now: ContinuousClock.Instant = .now) -> DatabaseSurvey? {
        defer { survey = nil }
        return survey.flatMap { $0.made.duration(to: now) < Self.surveyLifetime ? $0 : nil }
    }
}
