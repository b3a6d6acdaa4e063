import Testing

/// Suites that have the machine to themselves: real clusters of six servers, and whole tasks in this process.
///
/// They run one after the other, here and under `make test`, which runs them after all others. `make lint` finds suites that
/// belong here and are elsewhere.
@Suite(.serialized) enum RunAlone {}
