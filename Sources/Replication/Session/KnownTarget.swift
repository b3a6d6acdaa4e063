import Redis

/// What a session has learned of its target; nothing before the opening's second step.
@SessionActor
final class KnownTarget {
    /// What the target's ACL allows us.
    private(set) var rights = TargetRights()
    private(set) var databaseCount: UInt32 = 0
    private(set) var profile: TargetProfile?
    /// Other tasks fill the target as well.
    private(set) var hasOtherTasks = false
    /// What its databases held just before the session began; `nil`: not known, or no longer true.
    private var survey: DatabaseSurvey?

    func learn(_ profile: TargetProfile, _ rights: TargetRights, databaseCount: UInt32, hasOtherTasks: Bool) {
        (self.profile, self.rights) = (profile, rights)
        (self.databaseCount, self.hasOtherTasks) = (databaseCount, hasOtherTasks)
    }

    func learn(_ survey: DatabaseSurvey?) { self.survey = survey }

    /// So long after it was made others are taken not to have written to an empty database.
    static let surveyLifetime = Duration.seconds(1)

    /// Hands on what was found, which is true until somebody has had the time to do something; `nil`: it is too old.
    func takeSurvey(at now: ContinuousClock.Instant = .now) -> DatabaseSurvey? {
        defer { survey = nil }
        return survey.flatMap { $0.made.duration(to: now) < Self.surveyLifetime ? $0 : nil }
    }
}
