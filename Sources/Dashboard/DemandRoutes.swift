import Base
import HTTPTypes
import Replication

/// What an operator asks a task for over its Unix socket (`TaskDemands`).
///
/// | request | answer |
/// |---|---|
/// | `POST /api/verify?keysPerSecond=N` | 202, the pass, and whether it was under way already |
/// | `GET /api/verify` | 200, the last pass |
/// | `POST /api/verify/stop?number=N` | 202 |
/// | `POST /api/refresh?keysPerSecond=N`, a `KeyListBody` | 202, how many keys are asked for, and a mark |
/// | `GET /api/refresh?before=MARK` | 200, how far they are |
/// | `POST /api/streams` | 202, streams with groups that are asked for |
/// | `GET /api/streams` | 200, how many of them wait |
///
/// 409 with a reason where the task cannot.
struct DemandRoutes: Sendable {
    let demands: TaskDemands
    let report: TaskReport

    enum Answer {
        case document(HTTPResponse.Status, String)
        case refused(HTTPResponse.Status, String, code: String)
        case notAllowed(String)
    }

    /// - Returns: `nil` when nothing is asked of it.
    func answer(_ method: HTTPRequest.Method, _ target: RequestTarget, body: [UInt8]) -> Answer? {
        do throws(TaskDemands.Refusal) {
            switch (target.path, method) {
            case ("/api/verify", .get): return .document(.ok, verification(demands.verification))
            case ("/api/verify", .post):
                guard let rate = target.number("keysPerSecond"), (1...10_000_000).contains(rate) else {
                    return .refused(.badRequest, "keysPerSecond is missing", code: "request")
                }
                let (figures, isJoined) = try demands.verify(keysPerSecond: rate)
                return .document(.accepted, verification(figures, isJoined: isJoined))
            case ("/api/verify/stop", .post):
                demands.stopVerifying(target.number("number") ?? 0)
                return .document(.accepted, verification(demands.verification))
            case ("/api/refresh", .post):
                guard let rate = target.number("keysPerSecond"), (1...10_000_000).contains(rate),
                    let keys = KeyListBody.keys(in: body)
                else { return .refused(.badRequest, "this is no list of keys", code: "request") }
                return .document(.accepted, receipt(try demands.refresh(keys, keysPerSecond: rate)))
            case ("/api/refresh/waiting", .post):
                guard let rate = target.number("keysPerSecond"), (1...10_000_000).contains(rate) else {
                    return .refused(.badRequest, "keysPerSecond is missing", code: "request")
                }
                return .document(.accepted, receipt(try demands.refreshWaiting(keysPerSecond: rate)))
            case ("/api/refresh", .get):
                return .document(.ok, rest(demands.rest(before: UInt64(target.number("before") ?? 0))))
            case ("/api/streams", .post): return .document(.accepted, streams(asked: try demands.fetchStreams()))
            case ("/api/streams", .get): return .document(.ok, streams(asked: nil))
            case ("/api/verify", _), ("/api/refresh", _), ("/api/streams", _): return .notAllowed("GET, POST")
            case ("/api/verify/stop", _), ("/api/refresh/waiting", _): return .notAllowed("POST")
            default: return nil
            }
        } catch {
            return .refused(.conflict, error.description, code: error.code.rawValue)
        }
    }

    // MARK: Documents

    private func verification(_ figures: Verification.Figures, isJoined: Bool = false) -> String {
        document(StatusDocument.fields(figures) + [("joined", "\(isJoined)")])
    }

    private func receipt(_ receipt: TaskDemands.Receipt) -> String {
        document([
            ("asked", "\(receipt.asked)"), ("unplaced", "\(receipt.unplaced)"), ("noRoom", "\(receipt.noRoom)"),
            ("mark", "\(receipt.mark)"), ("failedBefore", "\(receipt.failedBefore)"),
            ("leftOutBefore", "\(receipt.leftOutBefore)"),
        ])
    }

    private func rest(_ rest: TaskDemands.Rest) -> String {
        document([
            ("waiting", "\(rest.waiting)"), ("changing", "\(rest.changing)"), ("failed", "\(rest.failed)"),
            ("leftOut", "\(rest.leftOut)"),
        ])
    }

    private func streams(asked: Int?) -> String {
        let figures = demands.streams.figures
        return document([
            ("asked", asked.map { "\($0)" } ?? "null"), ("waiting", "\(demands.unfetchedStreams)"),
            ("failed", "\(demands.rest(before: 0).failed)"), ("known", "\(figures.count)"),
            ("leftOut", "\(figures.leftOut)"), ("complete", "\(figures.isComplete)"),
            ("walking", "\(figures.isWalking)"),
        ])
    }

    /// With what says whether it is the same process, and whether it works at present.
    private func document(_ fields: [(name: String, value: String)]) -> String {
        let status = report.current.status
        let general = [
            ("pid", "\(report.task.processID)"), ("phase", JSONText.quoted((status?.phase ?? .connecting).rawValue)),
            ("obstacle", demands.obstacle.map(JSONText.quoted) ?? "null"),
        ]
        return StatusDocument.object(general + fields) + "\n"
    }
}

/// The path and the query of a request.
struct RequestTarget: Sendable {
    let path: String
    private let query: Substring

    init(_ target: String) {
        path = String(target.prefix { $0 != "?" && $0 != "#" })
        query = target.drop { $0 != "?" }.dropFirst().prefix { $0 != "#" }
    }

    subscript(_ name: String) -> String? {
        query.split(separator: "&").first { $0.hasPrefix("\(name)=") }.map { String($0.dropFirst(name.count + 1)) }
    }

    func number(_ name: String) -> Int? { self[name].flatMap { Int($0) }.flatMap { $0 >= 0 ? $0 : nil } }
}
