/// Where a session is coordinated: its parts are classes of this actor, and share their state without locks and copies.
///
/// Orders and events pass here, never bytes, and nothing blocks on it (Architecture 4). A process runs one session at a
/// time; tests that run several share the actor.
@globalActor actor SessionActor {
    static let shared = SessionActor()
}
