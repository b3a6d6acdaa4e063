/// What a simulated master holds.
package enum DataSet: Sendable {
    case empty
    /// Each full sync gives the recorded bytes back.
    case recording(Recording)
    /// Generated keys, encoded beforehand; read-only.
    case synthetic(EncodedDataSet)
    /// A real key space that executes commands, holding the generated keys at the start.
    case live(SyntheticDataSet?)
}
