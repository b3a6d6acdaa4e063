import Testing

/// Suites that must not share the machine: they use real clusters of six servers, or run whole tasks in this process.
///
/// They run one after the other, here and under `make test`, which runs them after all others. `make lint` reports suites
/// elsewhere that belong here.
@Suite(.serialized) enum RunAlone {}
