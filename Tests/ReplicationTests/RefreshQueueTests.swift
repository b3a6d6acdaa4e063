import Dragonfly
import Foundation
import Logging
import Synchronization
import Testing

@testable import Replication

@Suite struct `The queue of keys to be refreshed` {
    private let folder: URL
    private let time = TestTime()
    private let log = RecordedLog()

    private final class TestTime: Sendable {
        private let milliseconds = Atomic<Int64>(1)
        var now: Int64 { milliseconds.load(ordering: .relaxed) }
        func pass(_ time: Int64) { milliseconds.add(time, ordering: .relaxed) }
    }

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "df2redis-refresh-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    private var path: String { folder.appending(path: "lab.refresh").path }

    private func queue(
        path: String?, mostInMemory: Int = 10, mostFileBytes: Int = 1 << 30, mostFingerprints: Int = 200_000
    ) -> RefreshQueue {
        RefreshQueue(
            path: path, logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }),
            mostInMemory: mostInMemory, mostFileBytes: mostFileBytes, mostFingerprints: mostFingerprints,
            clock: { [time] in time.now })
    }

    private func request(_ name: String, flow: Int = 0) -> RefreshRequest {
        RefreshRequest(RefreshKey(database: 0, key: Array(name.utf8)), flow: FlowID(flow))
    }

    private func names(_ requests: [RefreshRequest]) -> [String] {
        requests.map { String(decoding: $0.key.key, as: UTF8.self) }
    }

    // MARK: A target that has lost its last writes

    private func rememberingQueue(mostHistoryBytes: Int = 1 << 20) -> RefreshQueue {
        RefreshQueue(
            path: path, historyPath: path + "ed",
            logger: log.logger, mostInMemory: 1000,
            mostHistoryBytes: mostHistoryBytes, clock: { [time] in time.now })
    }

    private func refresh(
        _ names: [String], _ queue: RefreshQueue, flow: Int = 0, at mark: (next: UInt64, outOfStreamCount: UInt64)
    ) {
        for name in names { queue.ask(request(name, flow: flow)) }
        for request in queue.take(atMost: 9) {
            queue.finish(
                request.key, .written, at: StreamMark(next: LSN(mark.next), outOfStreamCount: mark.outOfStreamCount))
        }
    }

    private func lost(_ queue: RefreshQueue, at marks: (next: UInt64, outOfStreamCount: UInt64)...) -> [String] {
        queue.resume(at: marks.map { StreamMark(next: LSN($0.next), outOfStreamCount: $0.outOfStreamCount) })
        time.pass(100_000)
        return names(queue.take(atMost: 99)).sorted()
    }

    @Test func `returns keys again that the target has lost, and none that it still has`() {
        let queue = rememberingQueue()
        refresh(["a"], queue, at: (5, 1))
        refresh(["b"], queue, at: (5, 2))
        refresh(["c"], queue, at: (6, 2))
        refresh(["other"], queue, flow: 1, at: (3, 9))
        #expect(lost(queue, at: (6, 2), (3, 9)) == [])
        #expect(lost(queue, at: (5, 1), (3, 9)) == ["b", "c"], "at the same position, and after it")
        for name in ["b", "c"] {
            queue.finish(request(name).key, .written, at: StreamMark(next: LSN(5), outOfStreamCount: 2))
        }
        #expect(lost(queue, at: (5, 2), (3, 8)) == ["other"])
        #expect(log.messages.count == 2)
    }

    @Test func `returns keys that the target has lost while no process ran`() throws {
        var first: RefreshQueue? = rememberingQueue()
        if let first {
            refresh(["a", "b"], first, at: (5, 1))
            refresh(["c"], first, at: (5, 3))
        }
        first = nil
        // Half an entry, as of a machine that has failed.
        let file = try FileHandle(forWritingTo: URL(filePath: path + "ed"))
        try file.seekToEnd()
        try file.write(contentsOf: Data([1, 0, 0, 0, 0]))
        try file.close()
        time.pass(5000)
        #expect(lost(rememberingQueue(), at: (5, 2)).contains("c"))
        #expect(lost(rememberingQueue(), at: (1, 0)) == ["a", "b", "c"])
    }

    @Test func `logs if the target has lost more than the history holds`() {
        let queue = rememberingQueue(mostHistoryBytes: 200)
        for number in 1...40 {
            refresh(["key:\(number)"], queue, at: (5, UInt64(number)))
            time.pass(1000)
        }
        #expect(lost(queue, at: (5, 38)) == ["key:39", "key:40"])
        #expect(!log.contains("more than is remembered"))
        let remembered = lost(queue, at: (5, 0))
        #expect(remembered.contains("key:38"))
        #expect(!remembered.contains("key:1"))
        #expect(log.contains("more than is remembered"))
    }

    @Test func `logs a loss beyond the history only for the flow concerned`() {
        var queue = rememberingQueue(mostHistoryBytes: 400)
        func resume(_ marks: (UInt64, UInt64)...) -> Bool {
            let before = log.messages.count
            queue.resume(at: marks.map { StreamMark(next: LSN($0.0), outOfStreamCount: $0.1) })
            return log.messages[before...].contains { $0.contains("more than is remembered") }
        }
        refresh(["first"], queue, flow: 2, at: (3, 1))
        for number in 1...40 {
            refresh(["a:\(number)"], queue, flow: 0, at: (5, UInt64(number)))
            refresh(["b:\(number)"], queue, flow: 1, at: (7, UInt64(number)))
            time.pass(1000)
        }
        queue = rememberingQueue(mostHistoryBytes: 400)
        #expect(!resume((5, 40), (7, 40), (3, 1)))
        #expect(!resume((5, 40), (7, 39), (3, 1)))
        // The oldest remaining entry is another flow's, or there is none.
        #expect(resume((5, 40), (7, 0), (3, 1)))
        #expect(!resume((5, 40), (7, 0), (3, 1)), "it has been said")
        #expect(resume((5, 40), (7, 0), (3, 0)))
        #expect(resume((5, 0), (7, 0), (3, 0)))
        #expect(!resume((5, 0), (7, 0), (3, 0)))
        queue = rememberingQueue(mostHistoryBytes: 400)
        #expect(!resume((5, 0), (7, 0), (3, 0)))
        queue.fullSyncBegins()
        #expect(!resume((1, 0), (1, 0), (1, 0)))
    }

    @Test func `uses the first remaining entry of each flow if an earlier version has dropped some`() throws {
        var queue: RefreshQueue? = rememberingQueue()
        if let queue {
            refresh(["a"], queue, flow: 0, at: (5, 9))
            refresh(["b"], queue, flow: 1, at: (7, 9))
            time.pass(5000)
            _ = queue.take(atMost: 0)
        }
        queue = nil
        let file = try FileHandle(forUpdating: URL(filePath: path + "ed"))
        try file.seek(toOffset: 8)
        try file.write(contentsOf: Data([1]))
        try file.close()
        #expect(lost(rememberingQueue(), at: (5, 9), (7, 9)) == [])
        #expect(!log.contains("more than is remembered"))
        #expect(lost(rememberingQueue(), at: (5, 9), (7, 8)) == ["b"])
        #expect(log.contains("more than is remembered"))
    }

    @Test(arguments: [false, true])
    func `logs whether the target's data or the position in a file is older`(_ isOfFile: Bool) {
        let queue = rememberingQueue(mostHistoryBytes: 200)
        for number in 1...40 {
            refresh(["key:\(number)"], queue, at: (UInt64(number), 0))
            time.pass(1000)
        }
        queue.resume(at: [StreamMark(next: LSN(38), outOfStreamCount: 0)], isOfFile: isOfFile)
        queue.resume(at: [StreamMark(next: LSN(1), outOfStreamCount: 0)], isOfFile: isOfFile)
        #expect(log.contains("2 keys that had been read at the source"))
        #expect(log.contains("'df2redis verify' finds those that differ"))
        #expect(log.contains("the target has lost its last writes") == !isOfFile)
        #expect(log.contains("the target has lost more") == !isOfFile)
        #expect(log.contains("the position in the file is older than the target's data") == isOfFile)
        #expect(log.contains("since the position in the file there were more") == isOfFile)
    }

    @Test func `returns no lost keys after a full sync`() {
        let queue = rememberingQueue()
        refresh(["a"], queue, at: (5, 1))
        queue.fullSyncBegins()
        #expect(lost(queue, at: (1, 0)) == [])
    }

    // MARK: Order

    @Test func `returns each key once, in order of arrival`() {
        let queue = queue(path: nil)
        for name in ["a", "b", "a", "c"] { queue.ask(request(name)) }
        #expect(names(queue.take(atMost: 2)) == ["a", "b"])
        #expect(names(queue.take(atMost: 9)) == ["c"])
        #expect(queue.take(atMost: 9).isEmpty)
        #expect(queue.figures.asked == 3)
        #expect(queue.figures.waiting == 3)
    }

    @Test func `returns a key again if it was added again while it was read`() {
        let queue = queue(path: nil)
        queue.ask(request("a"))
        #expect(names(queue.take(atMost: 1)) == ["a"])
        queue.ask(request("a"))
        queue.finish(request("a").key, .written)
        time.pass(2000)
        #expect(names(queue.take(atMost: 1)) == ["a"])
        queue.finish(request("a").key, .written)
        time.pass(2000)
        #expect(queue.take(atMost: 1).isEmpty)
        #expect(queue.figures.refreshed == 2)
    }

    @Test func `delays a key that keeps changing longer and longer`() {
        var schedule = RefreshSchedule()
        let key = request("a").key
        _ = schedule.add(request("a"), at: nil, now: 0)
        var (now, waits) = (Int64(0), [Int64]())
        for _ in 0..<14 {
            while schedule.take(atMost: 1, now: now).isEmpty { now += 1000 }
            waits.append(schedule.retry(key, now: now))
        }
        #expect(waits.prefix(5) == [100, 200, 400, 800, 1600])
        #expect(waits.last == RefreshSchedule.longestWait)
    }

    @Test func `delays no key once nothing is written any more`() {
        var schedule = RefreshSchedule()
        for name in ["changing", "done"] { _ = schedule.add(request(name), at: nil, now: 0) }
        var now = Int64(0)
        for _ in 0..<14 {
            while schedule.take(atMost: 2, now: now).isEmpty { now += 1000 }
            schedule.retry(request("changing").key, wasStale: true, now: now)
            schedule.finish(request("done").key, now: now)
            _ = schedule.add(request("done"), at: nil, now: now)
        }
        #expect(schedule.take(atMost: 2, now: now).isEmpty)
        #expect(schedule.outstanding(before: 1) == (1, 1))
        schedule.hasten()
        #expect(schedule.outstanding(before: 1) == (2, 0))
        #expect(Set(schedule.take(atMost: 2, now: now).map(\.key)) == [request("changing").key, request("done").key])
    }

    @Test func `delays the next read of a key that each record makes differ`() {
        var schedule = RefreshSchedule()
        var (now, readings) = (Int64(0), 0)
        for _ in 0..<10_000 {
            now += 10
            _ = schedule.add(request("a"), at: nil, now: now)
            for taken in schedule.take(atMost: 1, now: now) {
                readings += 1
                schedule.finish(taken.key, now: now)
            }
        }
        // In 100 s: at waits that double up to a minute.
        #expect(readings < 20)
        #expect(readings > 3)
    }

    @Test func `keeps on disk what exceeds memory, and loses nothing in a restart`() {
        var first: RefreshQueue? = queue(path: path, mostInMemory: 10)
        for number in 0..<1000 { first?.ask(request("key:\(number)", flow: number % 4)) }
        for number in 0..<1000 { first?.ask(request("key:\(number)")) }
        #expect(first?.figures.asked == 1000)
        let taken = first?.take(atMost: 5) ?? []
        #expect(names(taken) == (0..<5).map { "key:\($0)" })
        for request in taken.prefix(3) { first?.finish(request.key, .written) }
        time.pass(5000)
        _ = first?.take(atMost: 0)
        // As after SIGKILL: the queue is not closed.
        first = nil

        let second = queue(path: path, mostInMemory: 10)
        #expect(second.figures.waiting == 997)
        var seen: Set<String> = []
        while true {
            let requests = second.take(atMost: 16)
            if requests.isEmpty { break }
            for request in requests {
                let name = String(decoding: request.key.key, as: UTF8.self)
                seen.insert(name)
                #expect(request.flow.index == Int(name.dropFirst(4)).map { $0 % 4 })
                second.finish(request.key, .written)
            }
        }
        #expect(seen.count == 997)
        #expect(second.figures.waiting == 0)
        time.pass(2000)
        _ = second.take(atMost: 1)
        let size = try? FileManager.default.attributesOfItem(atPath: path)[.size] as? Int
        #expect(size == 16, "the file of an empty queue is its head")
    }

    private func transfer(_ name: String, to destination: String, in queue: RefreshQueue) {
        queue.transfer(request(name).key, to: request(destination).key, flow: FlowID(3))
    }

    @Test func `adds a key that gets the value of a waiting one, even on disk and after a restart`() {
        var first: RefreshQueue? = queue(path: path, mostInMemory: 2)
        for name in ["a", "b", "c", "d"] { first?.ask(request(name, flow: 3)) }
        if let first {
            transfer("none", to: "nothing", in: first)
            transfer("a", to: "in memory", in: first)
            transfer("d", to: "on the disk", in: first)
            #expect(first.figures.waiting == 6)
        }
        first = nil
        let second = queue(path: path, mostInMemory: 2)
        transfer("none", to: "nothing", in: second)
        transfer("d", to: "d later", in: second)
        transfer("on the disk", to: "elsewhere", in: second)
        #expect(second.figures.waiting == 8)
        var seen: [String] = []
        while true {
            let requests = second.take(atMost: 1)
            guard let next = requests.first else { break }
            #expect(next.flow == FlowID(3))
            seen += names(requests)
            second.finish(next.key, .written)
        }
        #expect(seen == ["a", "b", "c", "d", "in memory", "on the disk", "d later", "elsewhere"])
        transfer("d", to: "nothing", in: second)
        #expect(second.figures.waiting == 0, "it is done")
    }

    @Test func `adds hardly any key needlessly, however many are on disk, even after a restart`() {
        let count = 5000
        var queue = queue(path: path, mostInMemory: 10, mostFingerprints: 100)
        for number in 0..<count { queue.ask(request("key:\(number)")) }
        func transferOthers(_ tag: String) -> Int {
            let before = queue.figures.waiting
            for number in 0..<3000 { transfer("other:\(tag):\(number)", to: "too many:\(tag):\(number)", in: queue) }
            return queue.figures.waiting - before
        }
        #expect(transferOthers("first") <= 2)
        transfer("key:50", to: "of an exact one", in: queue)
        transfer("key:4999", to: "of the last one", in: queue)
        #expect(queue.figures.waiting >= count + 2)
        queue = self.queue(path: path, mostInMemory: 10, mostFingerprints: 100)
        #expect(transferOthers("second") <= 2)
        let before = queue.figures.waiting
        transfer("key:4998", to: "after the restart", in: queue)
        #expect(queue.figures.waiting == before + 1)
        var seen: Set<String> = []
        while true {
            let requests = queue.take(atMost: 10)
            if requests.isEmpty { break }
            for request in requests { queue.finish(request.key, .written) }
            seen.formUnion(names(requests))
        }
        #expect(seen.isSuperset(of: ["key:4999", "of an exact one", "of the last one", "after the restart"]))
        #expect(queue.figures.waiting == 0, "it drains")
    }

    @Test func `counts a key that is added again while others are on disk`() {
        let queue = queue(path: path, mostInMemory: 1)
        for name in ["a", "b", "c", "d"] { queue.ask(request(name)) }
        for name in ["a", "b"] {
            #expect(names(queue.take(atMost: 1)) == [name])
            queue.finish(request(name).key, .written)
        }
        queue.ask(request("b"))
        #expect(queue.figures.waiting == 3)
    }

    @Test func `reads a truncated file up to the truncation`() throws {
        let queue = queue(path: path, mostInMemory: 2)
        for number in 0..<10 { queue.ask(request("key:\(number)")) }
        let bytes = try Data(contentsOf: URL(filePath: path))
        for count in [0, 3, 15, 16, 17, bytes.count - 1, bytes.count] {
            let cut = folder.appending(path: "cut-\(count)").path
            try bytes.prefix(count).write(to: URL(filePath: cut))
            let again = self.queue(path: cut)
            let expected = count < 16 + 21 ? 0 : count == bytes.count ? 10 : 9
            #expect(again.figures.waiting == expected, "\(count) bytes")
            again.ask(request("more"))
            #expect(self.queue(path: cut).figures.waiting == expected + 1, "\(count) bytes")
        }
    }

    @Test func `finds all keys at the next start, even those longer than a block of its file`() {
        let queue = queue(path: path, mostInMemory: 2)
        var sizes = (0..<3000).map { $0 % 700 + 5 }
        for (place, size) in [(10, 300_000), (11, 1), (2000, 1 << 20), (2999, 600_000)] { sizes[place] = size }
        for (number, size) in sizes.enumerated() {
            let key = Array("\(number):".utf8) + [UInt8](repeating: 7, count: size)
            queue.ask(RefreshRequest(RefreshKey(database: UInt32(number % 3), key: key), flow: FlowID(number % 4)))
        }
        let again = self.queue(path: path, mostInMemory: 2)
        #expect(again.figures.waiting == 3000)
        var found: [Int] = []
        while let next = again.take(atMost: 1).first {
            let number = found.count
            #expect((next.key.database, next.flow) == (UInt32(number % 3), FlowID(number % 4)))
            #expect(next.key.key.starts(with: Array("\(number):".utf8)))
            found.append(next.key.key.count - "\(number):".utf8.count)
            again.finish(next.key, .written)
        }
        #expect(found == sizes)
    }

    @Test func `takes no more keys than its file may hold`() {
        let queue = queue(path: path, mostInMemory: 5, mostFileBytes: 200)
        for number in 0..<100 { queue.ask(request("key:\(number)")) }
        #expect(queue.figures.waiting < 20)
        #expect(queue.figures.failed > 80)
    }

    @Test func `is empty when a full sync begins, on the disk too`() {
        let queue = queue(path: path)
        for number in 0..<100 { queue.ask(request("key:\(number)")) }
        queue.fullSyncBegins()
        #expect(queue.figures.waiting == 0)
        #expect(self.queue(path: path).figures.waiting == 0)
    }

    @Test func `compacts its file by the finished entries`() throws {
        let file = try RefreshFile(path: path)
        let key = [UInt8](repeating: 7, count: 1 << 20)
        for number in 0..<40 {
            _ = try file.append(RefreshRequest(RefreshKey(database: UInt32(number), key: key), flow: FlowID(1)))
        }
        let before = file.end
        var places: [RefreshFile.Place] = []
        var offset = file.head
        while let (_, place) = try file.read(at: offset) {
            places.append(place)
            offset = place.end
        }
        try file.setHead(places[38].offset)
        let moved = try file.compact()
        #expect(moved > 0)
        #expect(file.end == before - moved)
        #expect(try file.read(at: file.head)?.request.key.database == 38)
        #expect(try RefreshFile(path: path).read(at: 16)?.request.key.database == 38)
    }

    // MARK: What an operator has asked for

    @Test func `counts the waiting keys before a mark, on disk too`() {
        let queue = queue(path: path, mostInMemory: 3)
        for number in 0..<3 { queue.ask(request("stream \(number)")) }
        for number in 0..<5 { queue.ask(request("asked \(number)")) }
        let mark = queue.mark
        for number in 0..<4 { queue.ask(request("later \(number)")) }
        #expect(queue.outstanding(before: mark).waiting == 8)
        var left = 8
        for _ in 0..<8 {
            for key in queue.take(atMost: 1) { queue.finish(key.key, .written) }
            left -= 1
            #expect(queue.outstanding(before: mark).waiting == left)
        }
        #expect(queue.figures.waiting == 4)
        #expect(queue.outstanding(before: 0).waiting == 0)
        #expect(queue.outstanding(before: .max).waiting == 4)
    }

    @Test func `stops waiting for a key that changes whenever it is read`() {
        let queue = queue(path: nil)
        queue.ask(request("hot"))
        let mark = queue.mark
        for _ in 0..<8 {
            #expect(queue.outstanding(before: mark) == (1, 0))
            time.pass(60_000)
            #expect(names(queue.take(atMost: 1)) == ["hot"])
            queue.retry(request("hot").key, wasStale: true)
        }
        #expect(queue.outstanding(before: mark) == (0, 1))
    }

    @Test func `is read faster until all keys requested before are done`() {
        let queue = queue(path: nil)
        queue.ask(request("a"))
        #expect(queue.rate(50) == 50)
        queue.hurry(by: 1000)
        queue.ask(request("b"))
        time.pass(1000)
        #expect(queue.rate(50) == 1050)
        queue.finish(queue.take(atMost: 1)[0].key, .written)
        time.pass(1000)
        #expect(queue.rate(50) == 50)
    }

    @Test func `returns urgent keys first and alone, without delay, and each time they are added`() {
        let queue = queue(path: path, mostInMemory: 2)
        for name in ["a", "b", "c", "d"] { queue.ask(request(name)) }
        func urgent(_ name: String) -> RefreshRequest {
            RefreshRequest(request(name).key, flow: FlowID(0), origin: .group)
        }
        #expect(queue.ask(urgent("b")) == .known)
        // One that is on the disk comes at once too.
        queue.ask(urgent("d"))
        #expect(queue.urgentCount == 2)
        #expect(names(queue.take(atMost: 1, urgent: 16)) == ["b", "d"])
        #expect(queue.ask(urgent("b")) == .known)
        queue.finish(urgent("b").key, .written)
        queue.finish(urgent("d").key, .written)
        #expect(queue.urgentCount == 1)
        #expect(names(queue.take(atMost: 1, urgent: 16)) == ["b"])
        queue.retry(urgent("b").key, wasStale: true)
        #expect(names(queue.take(atMost: 1, urgent: 16)) == ["b"])
        // A request from a record in the meantime is not urgent.
        queue.ask(request("b"))
        queue.finish(urgent("b").key, .written)
        #expect(queue.urgentCount == 0)
        #expect(names(queue.take(atMost: 1, urgent: 16)) == ["a"])
    }
}
