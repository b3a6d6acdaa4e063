/// The actor that coordinates a session. The session's parts are classes on this actor and share their state without locks
/// or copies.
///
/// Only orders and events pass through this actor, never bytes, and nothing blocks it (Architecture 4). A process runs one
/// session at a time; tests that run several share the actor.
@globalActor actor SessionActor {
    static let shared = SessionActor()
}
