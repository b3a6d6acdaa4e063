package import Link

/// The location of the master according to the sentinels.
package struct SentinelVerdict: Equatable {
    package let master: Endpoint
    /// What an operator should know: sentinels that disagree or do not answer, in one sentence each.
    package let remarks: [String]

    /// Evaluates the answers. The greatest epoch of a configuration wins, as among the sentinels themselves, because only a
    /// majority of them can have created it. If epochs are equal, the address that most sentinels name wins.
    ///
    /// - Throws: `TargetError` if no sentinel names a master.
    package init(_ answers: [SentinelAnswer], name: String) throws(TargetError) {
        var votes: [Endpoint: (count: Int, epoch: Int64)] = [:]
        for case .master(let endpoint, let epoch) in answers.map(\.content) {
            let before = votes[endpoint] ?? (0, .min)
            votes[endpoint] = (before.count + 1, max(before.epoch, epoch))
        }
        let best = votes.max {
            ($0.value.epoch, $0.value.count, $1.key.description) < ($1.value.epoch, $1.value.count, $0.key.description)
        }
        guard let best else { throw Self.nobodyKnows(answers, name) }
        master = best.key
        remarks = Self.remarks(on: answers, name, used: best.key)
    }

    private static func remarks(on answers: [SentinelAnswer], _ name: String, used: Endpoint) -> [String] {
        var remarks: [String] = []
        let others = answers.filter {
            if case .master(let endpoint, _) = $0.content { endpoint != used } else { false }
        }
        if !others.isEmpty {
            let said = answers.compactMap { answer -> String? in
                guard case .master(let endpoint, let epoch) = answer.content else { return nil }
                return "\(answer.sentinel) says \(endpoint) (epoch \(epoch))"
            }
            remarks.append(
                "the sentinels disagree on the master of '\(name)': \(said.joined(separator: ", ")); \(used) is used")
        }
        for answer in answers {
            switch answer.content {
            case .master: break
            case .unknown:
                remarks.append("the sentinel \(answer.sentinel) knows no master of the name '\(name)'")
            case .failure(let error):
                remarks.append("the sentinel \(answer.sentinel) is of no help: \(error)")
            }
        }
        return remarks
    }

    private static func nobodyKnows(_ answers: [SentinelAnswer], _ name: String) -> TargetError {
        var (asked, known): ([String], Set<String>) = ([], [])
        var failures: [(sentinel: Endpoint, error: TargetError)] = []
        for answer in answers {
            switch answer.content {
            case .master: break
            case .unknown(let names):
                asked.append("\(answer.sentinel)")
                known.formUnion(names)
            case .failure(let error): failures.append((answer.sentinel, error))
            }
        }
        if !asked.isEmpty {
            let has = known.isEmpty ? "no master at all" : known.sorted().joined(separator: ", ")
            return TargetError(
                .sentinel,
                "the sentinels (\(asked.joined(separator: ", "))) know no master of the name '\(name)', but \(has): correct target.sentinel.master"
            )
        }
        // Errors that an operator must resolve come before temporary ones.
        for code in [TargetError.Code.permission, .clientCertificate, .tls, .sentinel] {
            if let failure = failures.first(where: { $0.error.code == code }) { return failure.error }
        }
        let list = failures.map { "\($0.error)" }.joined(separator: "; ")
        return TargetError(.unreachable, "none of the sentinels of target.sentinel.addrs answers: \(list)")
    }
}
