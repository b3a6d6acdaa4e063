import HTTPTypes
import HummingbirdCore
import NIOCore

/// Answers requests from what is in memory, without waiting.
struct Routes: Sendable {
    /// The way by which a request comes, which decides what the request may do.
    enum Access: Sendable {
        /// TCP, with a token: a client that has it may read.
        case guarded(BearerToken)
        /// TCP, without a token: any client may read, under one of these names.
        case open(ServedNames)
        /// The task's Unix socket: a client that may open it may read, and may control the task.
        case control(TaskControl)
    }

    let report: TaskReport
    let access: Access

    private static let json = "application/json"
    /// What scrapers and load balancers read, under whatever name they use. It names no key.
    private static let forPrograms: Set<String> = ["/metrics", "/health"]

    /// Whether a request may have a body.
    var takesBodies: Bool { if case .control = access { true } else { false } }

    func respond(to request: HTTPRequest, body: [UInt8] = []) -> Response {
        let target = RequestTarget(request.path ?? "/")
        let path = target.path
        if case .control(let control) = access, let response = command(request.method, target, body, control) {
            return response
        }
        guard request.method == .get || request.method == .head else {
            return refuse(.methodNotAllowed, "this server is read only", allow: "GET, HEAD")
        }
        switch access {
        // The page contains no figures: it asks for the token, and then for the figures with the token.
        case .guarded(let token) where path != "/" && !token.accepts(request.headerFields[.authorization]):
            var response = refuse(.unauthorized, "this task's figures need the token of dashboard.token")
            response.headers[.wwwAuthenticate] = "Bearer realm=\"df2redis\""
            return response
        case .open(let names) where !Self.forPrograms.contains(path) && !names.accepts(request.authority):
            return refuse(
                .misdirectedRequest,
                "without a token this is served by address, as localhost and under the host's own name only: the name in Host could be anybody's (set dashboard.token to serve it under any name)"
            )
        case .guarded, .open, .control: break
        }
        return read(path) ?? refuse(.notFound, "there is nothing at this path")
    }

    /// Answers the requests that only the Unix socket allows.
    private func command(
        _ method: HTTPRequest.Method, _ target: RequestTarget, _ body: [UInt8], _ control: TaskControl
    ) -> Response? {
        switch target.path {
        case "/api/stop":
            guard method == .post else { return refuse(.methodNotAllowed, "POST stops the task", allow: "POST") }
            // A cut-over turns draining off if nothing is on its way to the target.
            let stopRequest = TaskControl.Stop(drains: target["drain"] != "no", isCutover: target["cutover"] == "yes")
            if let failure = control.stop(stopRequest) { return refuse(.internalServerError, failure) }
            return answer(.accepted, Self.json, "{\"status\":\"leaving\"}\n")
        case "/api/positions" where method == .get: return answer(.ok, Self.json, PositionsDocument(report).json)
        default: break
        }
        guard let requests = control.operatorRequests else { return nil }
        switch OperatorRequestRoutes(requests: requests, report: report).answer(method, target, body: body) {
        case .document(let status, let document): return answer(status, Self.json, document.json)
        case .refused(let status, let reason, let code): return refuse(status, reason, code: code)
        case .notAllowed(let methods): return refuse(.methodNotAllowed, "this is \(methods) only", allow: methods)
        case nil: return nil
        }
    }

    private func read(_ path: String) -> Response? {
        switch path {
        case "/": answer(.ok, Page.contentType, Page.html)
        case "/health": answer(report.health(), detail: report.detail)
        case "/ready": answer(report.readiness())
        case "/metrics": answer(.ok, MetricsText.contentType, MetricsText(report).text)
        case "/api/status": answer(.ok, Self.json, StatusDocument(report).json)
        case "/api/sync/summary": answer(.ok, Self.json, LegacyDocuments(report).summary)
        case "/api/sync/progress": answer(.ok, Self.json, LegacyDocuments(report).progress)
        case "/api/check/latest": answer(.ok, Self.json, LegacyDocuments(report).check)
        case "/api/events": answer(.ok, Self.json, LegacyDocuments(report).events)
        case "/api/incidents": answer(.ok, Self.json, LegacyDocuments(report).incidents)
        default: nil
        }
    }

    private func answer(_ health: Health, detail: String? = nil) -> Response {
        answer(
            health.isGood ? .ok : .serviceUnavailable, Self.json, HealthDocument(health, detail: detail).json)
    }

    private func refuse(
        _ status: HTTPResponse.Status, _ reason: String, allow: String? = nil, code: String? = nil
    ) -> Response {
        var response = answer(status, Self.json, RefusalDocument(error: reason, code: code).json)
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

    /// The page needs no external resources, and no other page may frame it.
    private static let contentPolicy =
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; "
        + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}
