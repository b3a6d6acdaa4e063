import Base
import Dragonfly
import Redis
import Testing
import Wire

@testable import Replication

/// A shard of a source with incomplete journal records, its stream, a target that follows it, and reads of values in
/// between: everything happens in a random order, one step at a time.
private struct RefreshModel {
    private struct Question {
        var key: RefreshKey
        var before: UInt64?
        var value: [UInt8]??
        var after: UInt64?
    }

    private var random: SplitMix64
    private var watch: KeyWatch
    private var schedule = RefreshSchedule()
    private var source: [RefreshKey: [UInt8]] = [:]
    private(set) var target: [RefreshKey: [UInt8]] = [:]
    /// The journal; the first record has LSN 1.
    private var records: [(command: StoredJournalCommand, words: [String])] = []
    private var next: UInt64 = 1
    private var questions: [Question] = []
    private var now: Int64 = 0
    private(set) var refreshed = 0

    private static let keys = ["a", "b", "c"]

    init(seed: UInt64, rule: RefreshRule) {
        random = SplitMix64(seed: seed)
        watch = KeyWatch(rule: rule)
    }

    private static func key(_ name: String) -> RefreshKey { RefreshKey(database: 0, key: Array(name.utf8)) }

    private mutating func below(_ limit: Int) -> Int { Int(random.next() % UInt64(limit)) }

    // MARK: The source

    private mutating func write() {
        let name = Self.keys[below(Self.keys.count)]
        let key = Self.key(name)
        let letter = String(UnicodeScalar(UInt8(97 + below(26))))
        let words: [String] =
            switch below(8) {
            case 0: ["DEL", name]
            case 1: ["SET", name, letter]
            case 2, 3: ["LPOP", name]
            default: ["APPEND", name, letter]
            }
        switch words[0] {
        case "DEL": source[key] = nil
        case "SET": source[key] = Array(letter.utf8)
        // As LMPOP with COUNT 2 leaves it: the record says one.
        case "LPOP": source[key] = source[key].map { Array($0.dropFirst(2)) }.flatMap { $0.isEmpty ? nil : $0 }
        default: source[key, default: []] += Array(letter.utf8)
        }
        records.append((StoredJournalCommand(arguments: words.map { Array($0.utf8) }), words))
    }

    private var sourceNext: UInt64 { UInt64(records.count) + 1 }

    // MARK: The stream and the target

    private var hasRecord: Bool { next < sourceNext }

    private mutating func applyRecord() {
        let (command, words) = records[Int(next) - 1]
        var watch = watch
        let lsn = next
        command.withCommand { watch.see($0, database: 0, lsn: lsn) }
        self.watch = watch
        let key = Self.key(words[1])
        switch words[0] {
        case "DEL": target[key] = nil
        case "SET": target[key] = Array(words[2].utf8)
        case "LPOP":
            target[key] = target[key].map { Array($0.dropFirst()) }.flatMap { $0.isEmpty ? nil : $0 }
            _ = schedule.add(RefreshRequest(key, flow: FlowID(0)), at: nil, now: now)
        default: target[key, default: []] += Array(words[2].utf8)
        }
        next += 1
        decide()
    }

    private mutating func decide() {
        for outcome in watch.takeDue(next: next) {
            switch outcome {
            case .write(let key, let answer):
                target[key] = answer.payload
                refreshed += 1
                schedule.finish(key, now: now)
            case .stale(let key, _): schedule.retry(key, now: now)
            case .removed(let key): schedule.finish(key, now: now)
            }
        }
    }

    // MARK: Questions

    private mutating func ask() {
        for request in schedule.take(atMost: 1, now: now) {
            guard watch.begin(request.key, next: next) else {
                schedule.retry(request.key, now: now)
                continue
            }
            questions.append(Question(key: request.key))
        }
    }

    private mutating func answerSome() {
        guard !questions.isEmpty else { return }
        let place = below(questions.count)
        if questions[place].before == nil {
            questions[place].before = sourceNext
        } else if questions[place].value == nil {
            questions[place].value = .some(source[questions[place].key])
        } else if questions[place].after == nil {
            questions[place].after = sourceNext
        } else {
            let question = questions.remove(at: place)
            let reading = RefreshRule.Reading(before: question.before ?? 0, after: question.after ?? 0)
            let answer = KeyWatch.Answer(payload: question.value ?? nil, expiresAt: nil, reading: reading)
            if !watch.answer(question.key, answer) { schedule.retry(question.key, now: now) }
            decide()
        }
    }

    // MARK: Runs

    mutating func run(steps: Int) {
        for _ in 0..<steps {
            now += 20
            switch below(7) {
            case 0, 1: write()
            case 2, 3: if hasRecord { applyRecord() }
            case 4: ask()
            default: answerSome()
            }
        }
    }

    /// - Returns: whether both sides are equal once no record and no read is pending.
    mutating func isEqualAtRest() -> Bool {
        while hasRecord { applyRecord() }
        for _ in 0..<10_000 where schedule.count > 0 || !questions.isEmpty {
            now += 1000
            ask()
            answerSome()
        }
        return schedule.count == 0 && source == target
    }
}

@Suite struct `Values that are read at the source` {
    private static let seeds: UInt64 = 300

    private func unequal(_ rule: RefreshRule) -> Int {
        var unequal = 0
        for seed in 1...Self.seeds {
            var model = RefreshModel(seed: seed, rule: rule)
            model.run(steps: 400)
            if !model.isEqualAtRest() { unequal += 1 }
        }
        return unequal
    }

    @Test func `make both sides equal, whatever the order of events`() {
        #expect(unequal(.exact) == 0)
        var model = RefreshModel(seed: 1, rule: .exact)
        model.run(steps: 10_000)
        _ = model.isEqualAtRest()
        #expect(model.refreshed > 100, "the model refreshes at all")
    }

    @Test func `would be wrong if the positions before and after the read were swapped`() {
        let rule = RefreshRule { reading, touch, next in
            RefreshRule.exact.verdict(.init(before: reading.after, after: reading.before), touch, next)
        }
        #expect(unequal(rule) > 0)
    }

    @Test func `would be wrong if records in between were ignored`() {
        #expect(unequal(RefreshRule { RefreshRule.exact.verdict($0, nil, $2) }) > 0)
    }

    @Test func `would be wrong if they did not wait for the stream`() {
        #expect(unequal(RefreshRule { reading, touch, _ in RefreshRule.exact.verdict(reading, touch, .max) }) > 0)
    }
}
