import Base
import HTTPTypes
import HummingbirdCore
import NIOCore

/// What is answered to a request. Each answer is made from what is in memory: nothing is waited for.
struct Routes: Sendable {
    /// Where a request comes from decides what it may do.
    enum Door: Sendable {
        /// TCP: whoever reaches the port may read, if it has the token where one is set.
        case network(BearerToken?)
        /// The task's Unix socket: whoever may open it may read, and may stop the task.
        case control(stop: @Sendable (_ drains: Bool) -> Void)
    }

    let report: TaskReport
    let door: Door

    private static let json = "application/json"

    func respond(to request: HTTPRequest) -> Response {
        let target = request.path ?? "/"
        let path = String(target.prefix { $0 != "?" && $0 != "#" })
        if case .control(let stop) = door, path == "/api/stop" {
            guard request.method == .post else {
                return refuse(.methodNotAllowed, "POST stops the task", allow: "POST")
            }
            // A cut-over knows that nothing is on its way.
            stop(!target.hasSuffix("?drain=no"))
            return answer(.accepted, Self.json, "{\"status\":\"leaving\"}\n")
        }
        if case .control = door, path == "/api/positions", request.method == .get {
            return answer(.ok, Self.json, StatusDocument.positions(report))
        }
        guard request.method == .get || request.method == .head else {
            return refuse(.methodNotAllowed, "this server is read only", allow: "GET, HEAD")
        }
        // The page has no figures in it: it asks for the token, and for the figures with it.
        if path != "/", case .network(let token?) = door, !token.accepts(request.headerFields[.authorization]) {
            var response = refuse(.unauthorized, "this task's figures need the token of dashboard.token")
            response.headers[.wwwAuthenticate] = "Bearer realm=\"df2redis\""
            return response
        }
        return read(path) ?? refuse(.notFound, "there is nothing at this path")
    }

    private func read(_ path: String) -> Response? {
        switch path {
        case "/": answer(.ok, Page.contentType, Page.html)
        case "/health": answer(report.health())
        case "/ready": answer(report.readiness())
        case "/metrics": answer(.ok, MetricsText.contentType, MetricsText(report).text)
        case "/api/status": answer(.ok, Self.json, StatusDocument(report).json)
        case "/api/sync/summary": answer(.ok, Self.json, SyncDocuments(report).summary)
        case "/api/sync/progress": answer(.ok, Self.json, SyncDocuments(report).progress)
        case "/api/check/latest": answer(.ok, Self.json, SyncDocuments(report).check)
        case "/api/events": answer(.ok, Self.json, SyncDocuments(report).events)
        case "/api/incidents": answer(.ok, Self.json, SyncDocuments(report).incidents)
        default: nil
        }
    }

    private func answer(_ health: Health) -> Response {
        answer(health.isGood ? .ok : .serviceUnavailable, Self.json, StatusDocument.json(health) + "\n")
    }

    private func refuse(_ status: HTTPResponse.Status, _ reason: String, allow: String? = nil) -> Response {
        let text = StatusDocument.object([("error", JSONText.quoted(reason))]) + "\n"
        var response = answer(status, Self.json, text)
        if let allow { response.headers[.allow] = allow }
        return response
    }

    private func answer(_ status: HTTPResponse.Status, _ type: String, _ text: String) -> Response {
        Response(
            status: status,
            headers: [
                .contentType: type, .cacheControl: "no-store", .xContentTypeOptions: "nosniff",
                .contentSecurityPolicy: Self.contentPolicy,
            ],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }

    /// The page needs nothing from elsewhere, and nobody else may frame it.
    private static let contentPolicy =
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; "
        + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}
