import Wire

/// Compares keys over one connection to either side, a page of them in few round trips.
struct KeyComparer: Sendable {
    /// A key that is different, as it was read.
    struct Finding: Sendable {
        let difference: KeyDifference
        /// The same twice: nothing has changed on either side.
        let digest: UInt64
    }

    /// What a page has given.
    struct Findings: Sendable {
        var different: [Finding] = []
        /// Keys that are on neither side any more.
        var goneCount = 0
        var lateTTLs = 0
        var unread: [String: Int] = [:]
    }

    let source: ServerConnection
    let target: ServerConnection
    let mode: ComparisonOptions.Mode
    let ttlMargins: Set<Int64>

    private static let typeCommand = Array("TYPE".utf8)
    private static let expiryCommand = Array("PEXPIRETIME".utf8)
    private static let selectCommand = Array("SELECT".utf8)

    /// What one side says of a key.
    private struct Head {
        let type: String
        /// Unix milliseconds; -1: never.
        let expiresAt: Int64

        var isMissing: Bool { type == "none" }
    }

    /// A key that is on one side at least.
    private struct Candidate {
        let key: [UInt8]
        /// The source's, or the target's where the source has no such key.
        let type: String
        let expiresAt: (source: Int64, target: Int64)
        let digest: KeyDigest
        /// What is known without a look at the values; they are read all the same, for the digest.
        let known: ValueVerdict
    }

    func compare(_ keys: [[UInt8]], database: UInt32) async throws(ComparisonError) -> Findings {
        var findings = Findings()
        let (left, right) = try await heads(of: keys, database: database)
        var candidates: [Candidate] = []
        for (place, key) in keys.enumerated() {
            let (source, target) = (left[place], right[place])
            if source.isMissing, target.isMissing {
                findings.goneCount += 1
                continue
            }
            var digest = KeyDigest()
            digest.add(source.type)
            digest.add(target.type)
            digest.add(source.expiresAt)
            digest.add(target.expiresAt)
            let known: ValueVerdict =
                if target.isMissing {
                    .differs(.missing)
                } else if source.isMissing {
                    .differs(.extra)
                } else if source.type != target.type {
                    .differs(.type, source: source.type, target: target.type)
                } else {
                    .equal
                }
            candidates.append(
                Candidate(
                    key: key, type: source.isMissing ? target.type : source.type,
                    expiresAt: (source.expiresAt, target.expiresAt), digest: digest, known: known))
        }
        try await compareValues(of: candidates, database: database, &findings)
        return findings
    }

    private func heads(
        of keys: [[UInt8]], database: UInt32
    ) async throws(ComparisonError) -> (source: [Head], target: [Head]) {
        var commands: [Command] = [[Self.selectCommand, Array("\(database)".utf8)]]
        commands.reserveCapacity(keys.count * 2 + 1)
        for key in keys {
            commands.append([Self.typeCommand, key])
            commands.append([Self.expiryCommand, key])
        }
        let (left, right) = try await answersOfBoth(commands, source, target)
        return (try heads(left, commands, source), try heads(right, commands, target))
    }

    private func heads(
        _ replies: [RESPValue], _ commands: [Command], _ server: ServerConnection
    ) throws(ComparisonError) -> [Head] {
        for (reply, command) in zip(replies, commands) {
            if case .error(let text) = reply { throw server.refusal(text, of: command) }
        }
        var heads: [Head] = []
        heads.reserveCapacity(replies.count / 2)
        for place in stride(from: 1, to: replies.count - 1, by: 2) {
            guard let type = replies[place].text, let expiresAt = replies[place + 1].int else {
                throw server.violation("TYPE and PEXPIRETIME")
            }
            heads.append(Head(type: type, expiresAt: max(expiresAt, -1)))
        }
        return heads
    }

    private func compareValues(
        of candidates: [Candidate], database: UInt32, _ findings: inout Findings
    ) async throws(ComparisonError) {
        let questions = candidates.map { candidate -> Command? in
            if case .differs = candidate.known { return FirstPiece.question(candidate.type, candidate.key) }
            return switch mode {
            case .outline: nil
            case .length: FirstPiece.lengthQuestion(candidate.type, candidate.key)
            case .value: FirstPiece.question(candidate.type, candidate.key)
            }
        }
        let (left, right) = try await answersOfBoth(questions.compactMap(\.self), source, target)
        var answer = 0
        for (place, candidate) in candidates.enumerated() {
            var digest = candidate.digest
            var verdict = candidate.known
            if let question = questions[place] {
                let answers = (source: left[answer], target: right[answer])
                answer += 1
                // Errors say no more about a key that is known to be different, as of a command that one side lacks.
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
                    var value = LargeValue(
                        type: candidate.type, key: candidate.key, source: source, target: target)
                    verdict = try await value.compare()
                    digest.add(Int64(bitPattern: value.digest.value))
                }
            } else if mode == .value, case .equal = verdict {
                findings.unread[candidate.type, default: 0] += 1
            }
            note(candidate, verdict, digest, database, &findings)
        }
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
        case .differs(let kind, let left, let right): different(kind, left, right)
        case .hasChanged, .isLarge: different(.value, nil, nil)
        case .equal where source == target: break
        case .equal where source >= 0 && ttlMargins.contains(target - source): findings.lateTTLs += 1
        case .equal:
            different(.ttl, source < 0 ? "none" : "\(source)", target < 0 ? "none" : "\(target)")
        }
    }
}
