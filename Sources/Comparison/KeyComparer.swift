import Servers
import Wire

/// Compares keys over one connection to each side, a page of them in few round trips.
struct KeyComparer: Sendable {
    /// A key that is different, as it was read.
    struct Finding: Sendable {
        let difference: KeyDifference
        /// A hash of what was read. If it is the same twice, nothing has changed on either side.
        let digest: UInt64
    }

    /// The findings on a page of keys.
    struct Findings: Sendable {
        var different: [Finding] = []
        /// Keys that the target lacks because a policy leaves them out.
        var leftOut: [KeyDifference] = []
        /// The number of keys that are no longer on either side.
        var goneCount = 0
        var lateTTLs = 0
        var unread: [String: Int] = [:]
    }

    let source: ServerConnection
    let target: ServerConnection
    let mode: ComparisonOptions.Mode
    let ttlMargins: Set<Int64>
    let scope: PolicyScope

    private static let typeCommand = Array("TYPE".utf8)
    private static let expiryCommand = Array("PEXPIRETIME".utf8)
    private static let selectCommand = Array("SELECT".utf8)

    /// What one side says about a key.
    private struct KeyState {
        /// The type; "none" if there is no such key, and `nil` if it has not been asked for.
        var type: String?
        /// The deadline in Unix milliseconds; -1 if there is none.
        var expiresAt: Int64 = -1
        /// The reply to the question for the value, if it was asked. It may be an error.
        var value: RESPValue?

        var isMissing: Bool { type == "none" }
    }

    /// A key that exists on at least one side.
    private struct Candidate {
        let key: [UInt8]
        /// The type at the source, or at the target if the source has no such key.
        let type: String
        let expiresAt: (source: Int64, target: Int64)
        let digest: KeyDigest
        /// What is known without reading the values. They are read nevertheless, for the digest.
        let known: ValueVerdict
        /// The command that asked for the values, and the replies.
        var question: Command?
        var values: (source: RESPValue, target: RESPValue)?
    }

    /// Compares keys in three steps: 1. The source reports the types. 2. Each side reads the value with the command for the
    /// source's type. 3. What is still open is asked for: the type of values that the target could not read as the source's
    /// type, and the values of keys that are already known to differ.
    func compare(_ keys: [[UInt8]], database: UInt32) async throws(ServerError) -> Findings {
        var findings = Findings()
        var left = try await types(of: keys, database: database)
        let questions = zip(keys, left).map { $1.isMissing ? nil : question($1.type ?? "", $0) }
        let right = try await values(of: keys, questions, database: database, &left)
        var candidates: [Candidate] = []
        candidates.reserveCapacity(keys.count)
        for (place, key) in keys.enumerated() {
            if left[place].isMissing, right[place].isMissing {
                findings.goneCount += 1
            } else {
                candidates.append(candidate(key, left[place], right[place], questions[place]))
            }
        }
        try await readDifferent(&candidates)
        for candidate in candidates { try await compareValues(of: candidate, database: database, &findings) }
        return findings
    }

    private func question(_ type: String, _ key: [UInt8]) -> Command? {
        switch mode {
        case .outline: nil
        case .length: FirstPiece.lengthQuestion(type, key)
        case .value: FirstPiece.question(type, key)
        }
    }

    private func select(_ database: UInt32) -> Command { [Self.selectCommand, Array("\(database)".utf8)] }

    /// The types and deadlines at the source.
    private func types(of keys: [[UInt8]], database: UInt32) async throws(ServerError) -> [KeyState] {
        var commands = [select(database)]
        commands.reserveCapacity(keys.count * 2 + 1)
        for key in keys {
            commands.append([Self.typeCommand, key])
            commands.append([Self.expiryCommand, key])
        }
        let replies = try await source.requests(commands)
        try refuseErrors(in: replies, to: commands, of: source)
        return try keys.indices.map { (place) throws(ServerError) in
            guard let type = replies[place * 2 + 1].text else { throw source.violation("TYPE") }
            return KeyState(type: type, expiresAt: try deadline(replies[place * 2 + 2], of: source) ?? -1)
        }
    }

    /// Asks the target for its deadlines and both sides for their values by `questions`. If a key has no question, the
    /// target is asked for its type.
    private func values(
        of keys: [[UInt8]], _ questions: [Command?], database: UInt32, _ left: inout [KeyState]
    ) async throws(ServerError) -> [KeyState] {
        var commands = [select(database)]
        commands.reserveCapacity(keys.count * 2 + 1)
        for (key, question) in zip(keys, questions) {
            commands.append([Self.expiryCommand, key])
            commands.append(question ?? [Self.typeCommand, key])
        }
        let (ofSource, ofTarget) = try await answersOfBoth(questions.compactMap(\.self), commands, source, target)
        var right: [KeyState] = []
        right.reserveCapacity(keys.count)
        var answered = 0
        for (place, question) in questions.enumerated() {
            let (expiry, reply) = (ofTarget[place * 2 + 1], ofTarget[place * 2 + 2])
            try refuseErrors(in: [ofTarget[0], expiry], to: [commands[0], commands[place * 2 + 1]], of: target)
            let expiresAt = try deadline(expiry, of: target)
            var state = KeyState(expiresAt: expiresAt ?? -1)
            if question != nil {
                left[place].value = ofSource[answered]
                answered += 1
                state.value = reply
                // A value that can be read as the source's type is of that type.
                if reply.errorText == nil { state.type = left[place].type }
            } else {
                try refuseErrors(in: [reply], to: [commands[place * 2 + 2]], of: target)
                state.type = reply.text
            }
            if expiresAt == nil { state.type = "none" }
            right.append(state)
        }
        try await addTypes(of: keys, &right)
        return right
    }

    private func addTypes(of keys: [[UInt8]], _ states: inout [KeyState]) async throws(ServerError) {
        let open = keys.indices.filter { states[$0].type == nil }
        if open.isEmpty { return }
        let commands = open.map { [Self.typeCommand, keys[$0]] }
        let replies = try await target.requests(commands)
        try refuseErrors(in: replies, to: commands, of: target)
        for (place, reply) in zip(open, replies) { states[place].type = reply.text }
    }

    private func refuseErrors(
        in replies: [RESPValue], to commands: [Command], of server: ServerConnection
    ) throws(ServerError) {
        for (reply, command) in zip(replies, commands) {
            if case .error(let text) = reply { throw server.refusal(text, of: command) }
        }
    }

    /// - Returns: the deadline in Unix milliseconds, -1 if there is none; `nil` if there is no such key.
    private func deadline(_ reply: RESPValue, of server: ServerConnection) throws(ServerError) -> Int64? {
        guard let milliseconds = reply.int else { throw server.violation("PEXPIRETIME") }
        return milliseconds == -2 ? nil : milliseconds
    }

    private func candidate(_ key: [UInt8], _ source: KeyState, _ target: KeyState, _ question: Command?) -> Candidate {
        let types = (source: source.type ?? "none", target: target.type ?? "none")
        var digest = KeyDigest()
        digest.add(types.source)
        digest.add(types.target)
        digest.add(source.expiresAt)
        digest.add(target.expiresAt)
        let known: ValueVerdict =
            if target.isMissing {
                .differs(.missing)
            } else if source.isMissing {
                .differs(.extra)
            } else if types.source != types.target {
                .differs(.type, source: types.source, target: types.target)
            } else {
                .equal
            }
        var candidate = Candidate(
            key: key, type: source.isMissing ? types.target : types.source,
            expiresAt: (source.expiresAt, target.expiresAt), digest: digest, known: known)
        if let question, let left = source.value, let right = target.value {
            candidate.question = question
            candidate.values = (left, right)
        }
        return candidate
    }

    /// Reads the values of keys that are known to differ, if they have not been read yet.
    private func readDifferent(_ candidates: inout [Candidate]) async throws(ServerError) {
        var (places, questions): ([Int], [Command]) = ([], [])
        for (place, candidate) in candidates.enumerated() {
            guard case .differs = candidate.known, mode != .value || candidate.values == nil,
                let question = FirstPiece.question(candidate.type, candidate.key)
            else { continue }
            places.append(place)
            questions.append(question)
        }
        if questions.isEmpty { return }
        let (left, right) = try await answersOfBoth(questions, questions, source, target)
        for (number, place) in places.enumerated() {
            candidates[place].question = questions[number]
            candidates[place].values = (left[number], right[number])
        }
    }

    private func compareValues(
        of candidate: Candidate, database: UInt32, _ findings: inout Findings
    ) async throws(ServerError) {
        var digest = candidate.digest
        var verdict = candidate.known
        if let question = candidate.question, let answers = candidate.values {
            // If a key is known to differ, errors say no more about it. One side may lack a command, for example.
            if case .equal = verdict {
                let isStale = try isChange(answers.source, of: question, on: source)
                let isTargetStale = try isChange(answers.target, of: question, on: target)
                verdict = isStale || isTargetStale ? .hasChanged : self.verdict(candidate.type, answers)
            }
            if case .differs = verdict {
                digest.add(answers.source)
                digest.add(answers.target)
            }
            if case .isLarge = verdict {
                var value = LargeValue(type: candidate.type, key: candidate.key, source: source, target: target)
                verdict = try await value.compare()
                digest.add(Int64(bitPattern: value.digest.value))
            }
        } else if mode == .value, case .equal = verdict {
            findings.unread[candidate.type, default: 0] += 1
        }
        note(candidate, verdict, digest, database, &findings)
    }

    private func verdict(_ type: String, _ answers: (source: RESPValue, target: RESPValue)) -> ValueVerdict {
        guard mode == .length else { return FirstPiece.verdict(type, source: answers.source, target: answers.target) }
        if answers.source == answers.target { return .equal }
        return .differs(.length, source: "\(answers.source.int ?? 0)", target: "\(answers.target.int ?? 0)")
    }

    private func note(
        _ candidate: Candidate, _ verdict: ValueVerdict, _ digest: KeyDigest, _ database: UInt32,
        _ findings: inout Findings
    ) {
        func different(_ kind: KeyDifference.Kind, _ source: String?, _ target: String?) {
            let difference = KeyDifference(
                database: database, key: candidate.key, kind: kind, type: candidate.type, source: source,
                target: target)
            findings.different.append(Finding(difference: difference, digest: digest.value))
        }
        let (source, target) = candidate.expiresAt
        switch verdict {
        case .differs(.missing, _, _) where scope.leavesOut(type: candidate.type):
            findings.leftOut.append(
                KeyDifference(
                    database: database, key: candidate.key, kind: .leftOut, type: candidate.type, source: nil,
                    target: nil))
        case .differs(let kind, let left, let right): different(kind, left, right)
        case .hasChanged, .isLarge: different(.value, nil, nil)
        case .equal where source == target: break
        case .equal where source >= 0 && ttlMargins.contains(target - source): findings.lateTTLs += 1
        case .equal:
            different(.ttl, source < 0 ? "none" : "\(source)", target < 0 ? "none" : "\(target)")
        }
    }
}
