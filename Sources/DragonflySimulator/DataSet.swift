/// The data that a simulated master serves.
package enum DataSet: Sendable {
    case empty
    /// Each full sync replays the recorded bytes.
    case recording(Recording)
    /// Generated keys, encoded beforehand; read-only.
    case synthetic(EncodedDataSet)
    /// A real key space that executes commands; it starts with the generated keys, or empty.
    case live(SyntheticDataSet?)
}
