import Link
import Testing

@testable import Redis

@Suite struct `The verdict on the sentinels' answers` {
    private let a = Endpoint(host: "10.0.0.1", port: 6379)
    private let b = Endpoint(host: "10.0.0.2", port: 6379)

    private func answers(_ contents: SentinelAnswer.Content...) -> [SentinelAnswer] {
        contents.enumerated().map {
            SentinelAnswer(sentinel: Endpoint(host: "s\($0.offset)", port: 26379), content: $0.element)
        }
    }

    private func error(_ answers: [SentinelAnswer]) -> TargetError? {
        do throws(TargetError) {
            _ = try SentinelVerdict(answers, name: "m")
            return nil
        } catch {
            return error
        }
    }

    @Test func `is the master that all name, without a remark`() throws {
        let verdict = try SentinelVerdict(answers(.master(a, epoch: 1), .master(a, epoch: 1)), name: "m")
        #expect(verdict.master == a)
        #expect(verdict.remarks == [])
    }

    @Test func `is the master that most name in the same epoch, with the others in a remark`() throws {
        let verdict = try SentinelVerdict(
            answers(.master(b, epoch: 0), .master(a, epoch: 0), .master(a, epoch: 0)), name: "m")
        #expect(verdict.master == a)
        #expect(
            verdict.remarks == [
                "the sentinels disagree on the master of 'm': s0:26379 says 10.0.0.2:6379 (epoch 0), s1:26379 says 10.0.0.1:6379 (epoch 0), s2:26379 says 10.0.0.1:6379 (epoch 0); 10.0.0.1:6379 is used"
            ])
    }

    @Test func `is the master of the latest failover, even if most do not know it yet`() throws {
        let verdict = try SentinelVerdict(
            answers(.master(a, epoch: 3), .master(a, epoch: 3), .master(b, epoch: 4)), name: "m")
        #expect(verdict.master == b)
        #expect(verdict.remarks.count == 1)
    }

    @Test func `needs only one sentinel, and has remarks on the others`() throws {
        let verdict = try SentinelVerdict(
            answers(.unknown(["n"]), .failure(.init(.unreachable, "connect s1: refused")), .master(a, epoch: 0)),
            name: "m")
        #expect(verdict.master == a)
        #expect(
            verdict.remarks == [
                "the sentinel s0:26379 knows no master of the name 'm'",
                "the sentinel s1:26379 is of no help: connect s1: refused",
            ])
    }

    @Test func `is an error that names what to correct`() {
        let unknown = error(answers(.unknown(["n", "o"]), .failure(.init(.unreachable, "x")), .unknown(["n"])))
        #expect(unknown?.code == .sentinel)
        #expect(
            unknown?.message
                == "the sentinels (s0:26379, s2:26379) know no master of the name 'm', but n, o: correct target.sentinel.master"
        )
        let away = error(answers(.failure(.init(.unreachable, "x")), .failure(.init(.unreachable, "y"))))
        #expect(away?.code == .unreachable)
        #expect(away?.message == "none of the sentinels of target.sentinel.addrs answers: x; y")
        let refused = error(answers(.failure(.init(.unreachable, "x")), .failure(.init(.permission, "set it"))))
        #expect(refused?.code == .permission)
        #expect(refused?.message == "set it")
    }
}
