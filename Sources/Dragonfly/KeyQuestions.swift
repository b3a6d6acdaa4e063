import Wire

/// Questions about keys that are sent in one pipeline, each in its key's database. Assigns the replies to the keys.
struct KeyQuestions {
    private enum Purpose {
        case selection, before, after
        /// A question about the key at this place.
        case key(Int)
    }

    struct Answers {
        /// The reply to the question that is asked before all others, if there is one.
        var before: RESPValue?
        /// The reply to the same question when it is asked after all others.
        var after: RESPValue?
        /// The replies about each key, or the reason why its database cannot be selected.
        var keys: [Result<[RESPValue], SourceError>]
    }

    private(set) var commands: [[[UInt8]]] = []
    private var purposes: [Purpose] = []
    private let keyCount: Int

    /// - Parameters:
    ///   - edge: a question that is asked before all others and again after them.
    ///   - questions: returns the questions about a key.
    init(
        about keys: [(database: UInt32, key: [UInt8])], around edge: [[UInt8]]?, _ questions: ([UInt8]) -> [[[UInt8]]]
    ) {
        keyCount = keys.count
        if let edge { add(edge, .before) }
        var database: UInt32?
        for (place, key) in keys.enumerated() {
            if key.database != database {
                add(["SELECT".bytes, key.database.bytes], .selection)
                database = key.database
            }
            for question in questions(key.key) { add(question, .key(place)) }
        }
        if let edge { add(edge, .after) }
    }

    private mutating func add(_ command: [[UInt8]], _ purpose: Purpose) {
        commands.append(command)
        purposes.append(purpose)
    }

    /// - Throws: `SourceError` if a SELECT is refused for another reason than its database.
    func answers(_ replies: [RESPValue]) throws(SourceError) -> Answers {
        var answers = Answers(keys: Array(repeating: .success([]), count: keyCount))
        // The error of the last SELECT. The commands after it ran in another database.
        var refusal: SourceError?
        for (purpose, reply) in zip(purposes, replies) {
            switch purpose {
            case .before: answers.before = reply
            case .after: answers.after = reply
            case .selection: refusal = try Self.refusal(of: reply)
            case .key(let place):
                if let refusal {
                    answers.keys[place] = .failure(refusal)
                } else if case .success(let replies) = answers.keys[place] {
                    answers.keys[place] = .success(replies + [reply])
                }
            }
        }
        return answers
    }

    private static func refusal(of reply: RESPValue) throws(SourceError) -> SourceError? {
        guard case .error(let text) = reply else { return nil }
        let error = SourceError.reply(text, toQuestion: "SELECT")
        // An unknown error concerns only this database, and no operator can do anything about it.
        guard error.code == .protocolViolation else { throw error }
        return error
    }
}
