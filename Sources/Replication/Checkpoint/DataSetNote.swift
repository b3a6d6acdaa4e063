import Dragonfly

/// What the next session must know to compare the two sides' data sets, in the form of the checkpoint.
///
/// ```
/// counts -> <accepted> <target losses> <target run id> <flush calls> <role changes>        "-" for an unknown value
/// ```
struct DataSetNote: Equatable, Sendable {
    static let field = "counts"

    /// The number of the source's keys that the target never had or has lost by itself.
    var accepted: Int?
    /// The number of keys that the target process `targetRunID` had expired and evicted by itself at the count.
    var targetLosses: Int?
    var targetRunID: String?
    /// The source's calls. The records of all these flush calls are before the checkpoint's position.
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

    /// Compares the notes without `targetLosses`, which changes all the time and may be outdated.
    func says(theSameAs other: DataSetNote?) -> Bool {
        accepted == other?.accepted && targetRunID == other?.targetRunID && calls == other?.calls
    }
}
