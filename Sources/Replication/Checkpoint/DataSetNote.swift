import Dragonfly

/// What the next session must know to compare the two sides' data sets, as the checkpoint keeps it.
///
/// ```
/// counts -> <accepted> <target losses> <target run id> <flush calls> <role changes>        "-" for what is not known
/// ```
struct DataSetNote: Equatable, Sendable {
    static let field = "counts"

    /// Keys of the source that the target has never had, or has lost by itself.
    var accepted: Int?
    /// Keys that the target had expired and evicted by itself when they were counted, and the process that had.
    var targetLosses: Int?
    var targetRunID: String?
    /// All records of the flush calls are before the checkpoint's position.
    var calls: SourceCalls?

    init() {}

    init?(_ text: String?) {
        guard let words = text?.split(separator: " "), words.count == 5 else { return nil }
        accepted = Int(words[0])
        targetLosses = Int(words[1])
        targetRunID = words[2] == "-" ? nil : String(words[2])
        if let flushes = Int(words[3]), let roles = Int(words[4]) {
            calls = SourceCalls(flushes: flushes, roleChanges: roles)
        }
    }

    var text: String {
        let words = [accepted.map(String.init), targetLosses.map(String.init), targetRunID]
        let counts = [calls.map { "\($0.flushes)" }, calls.map { "\($0.roleChanges)" }]
        return (words + counts).map { $0 ?? "-" }.joined(separator: " ")
    }

    /// Apart from figures that change all the time, and may be old.
    func says(theSameAs other: DataSetNote?) -> Bool {
        accepted == other?.accepted && targetRunID == other?.targetRunID && calls == other?.calls
    }
}
