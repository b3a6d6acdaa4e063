import HTTPTypes
import Replication

/// Answers the requests of an operator over the task's Unix socket (`OperatorRequests`).
///
/// | request | answer |
/// |---|---|
/// | `POST /api/verify?keysPerSecond=N` | 202, the pass, and whether it was under way already |
/// | `GET /api/verify` | 200, the last pass |
/// | `POST /api/verify/stop?number=N` | 202, the last pass |
/// | `POST /api/refresh?keysPerSecond=N`, a `KeyListBody` | 202, how many keys will be read, and a mark |
/// | `POST /api/refresh/waiting?keysPerSecond=N` | the same for the keys that wait already |
/// | `GET /api/refresh?before=MARK` | 200, how many of the keys still wait |
/// | `POST /api/streams` | 202, how many streams with consumer groups will be read |
/// | `GET /api/streams` | 200, how many of them wait |
///
/// The answer is 409 with a reason if the task cannot do it.
struct OperatorRequestRoutes: Sendable {
    let requests: OperatorRequests
    let report: TaskReport

    enum Answer {
        case document(HTTPResponse.Status, any JSONDocument)
        case refused(HTTPResponse.Status, String, code: String)
        case notAllowed(String)
    }

    /// - Returns: `nil` if the path is none of these.
    func answer(_ method: HTTPRequest.Method, _ target: RequestTarget, body: [UInt8]) -> Answer? {
        do throws(OperatorRequests.Refusal) {
            switch (target.path, method) {
            case ("/api/verify", .get):
                return document(.ok, VerificationDocument(requests.verification, isJoined: false))
            case ("/api/verify", .post):
                guard let rate = target.number("keysPerSecond"), (1...10_000_000).contains(rate) else {
                    return .refused(.badRequest, "keysPerSecond is missing", code: "request")
                }
                let (figures, isJoined) = try requests.verify(keysPerSecond: rate)
                return document(.accepted, VerificationDocument(figures, isJoined: isJoined))
            case ("/api/verify/stop", .post):
                requests.stopVerifying(target.number("number") ?? 0)
                return document(.accepted, VerificationDocument(requests.verification, isJoined: false))
            case ("/api/refresh", .post):
                guard let rate = target.number("keysPerSecond"), (1...10_000_000).contains(rate),
                    let keys = KeyListBody.keys(in: body)
                else { return .refused(.badRequest, "this is no list of keys", code: "request") }
                return document(.accepted, RefreshReceipt(try requests.refresh(keys, keysPerSecond: rate)))
            case ("/api/refresh/waiting", .post):
                guard let rate = target.number("keysPerSecond"), (1...10_000_000).contains(rate) else {
                    return .refused(.badRequest, "keysPerSecond is missing", code: "request")
                }
                return document(.accepted, RefreshReceipt(try requests.refreshWaiting(keysPerSecond: rate)))
            case ("/api/refresh", .get):
                return document(.ok, RefreshProgress(requests.progress(before: UInt64(target.number("before") ?? 0))))
            case ("/api/streams", .post):
                // Request the streams before counting how many wait.
                let asked = try requests.fetchStreams()
                return document(.accepted, StreamsDocument(requests, asked: asked))
            case ("/api/streams", .get): return document(.ok, StreamsDocument(requests))
            case ("/api/verify", _), ("/api/refresh", _), ("/api/streams", _): return .notAllowed("GET, POST")
            case ("/api/verify/stop", _), ("/api/refresh/waiting", _): return .notAllowed("POST")
            default: return nil
            }
        } catch {
            return .refused(.conflict, error.description, code: error.code.rawValue)
        }
    }

    private func document(_ status: HTTPResponse.Status, _ content: some JSONDocument) -> Answer {
        .document(
            status,
            OperatorRequestAnswer(
                content, pid: report.task.processID, phase: report.status.phase, obstacle: requests.obstacle))
    }
}
