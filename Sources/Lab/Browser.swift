import Foundation

/// A headless Chromium with one page, driven over its debugging port.
///
/// All calls block. Chromium's log and its profile are in a temporary folder.
package final class Browser {
    /// The path at which Debian's package installs Chromium; `nil` if it is not installed.
    package static var path: String? {
        ["/usr/bin/chromium", "/usr/bin/chromium-browser"].first { FileManager.default.isExecutableFile(atPath: $0) }
    }

    private let process: ChildProcess
    private let folder: TemporaryFolder
    private let socket: WebSocket
    private var number = 0

    /// - Parameter isDark: whether the page is asked for its dark colour scheme.
    package init(_ path: String, width: Int = 1200, height: Int = 1000, isDark: Bool = false) throws {
        let folder = try TemporaryFolder("browser")
        process = try ChildProcess(
            path,
            [
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                "--disable-extensions", "--disable-background-networking", "--remote-debugging-port=0",
                "--user-data-dir=\(folder.path)", "--window-size=\(width),\(height)", "about:blank",
            ], output: folder.file("output"), error: folder.file("log"))
        self.folder = folder
        // The first line of the file is the port.
        let portFile = folder.file("DevToolsActivePort")
        try wait(until: "Chromium has a debugging port") { [process] in
            if !process.isRunning { throw LabError("Chromium has ended:\n\(process.outputTail(lines: 20))") }
            return (try? String(contentsOfFile: portFile, encoding: .utf8))?.contains("\n") == true
        }
        let line = try String(contentsOfFile: portFile, encoding: .utf8).split(separator: "\n").first
        guard let port = line.flatMap({ UInt16($0) }) else { throw LabError("no debugging port") }
        var target: String?
        try wait(until: "Chromium has a page") {
            let list = try HTTPClient.get("/json/list", port: port).body
            let pages = try JSONSerialization.jsonObject(with: Data(list.utf8)) as? [[String: Any]] ?? []
            target = pages.first { $0["type"] as? String == "page" }?["id"] as? String
            return target != nil
        }
        socket = try WebSocket(port: port, path: "/devtools/page/\(target ?? "")")
        try call(
            "Emulation.setEmulatedMedia",
            ["features": [["name": "prefers-color-scheme", "value": isDark ? "dark" : "light"]]])
    }

    deinit { process.kill() }

    /// Sends a command and waits for its answer; events before it are dropped.
    @discardableResult
    package func call(_ method: String, _ parameters: [String: Any] = [:]) throws -> [String: Any] {
        number += 1
        let message: [String: Any] = ["id": number, "method": method, "params": parameters]
        try socket.send(String(decoding: JSONSerialization.data(withJSONObject: message), as: UTF8.self))
        while true {
            let text = try socket.receive()
            guard let answer = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any],
                answer["id"] as? Int == number
            else { continue }
            if let error = answer["error"] { throw LabError("\(method): \(error)") }
            return answer["result"] as? [String: Any] ?? [:]
        }
    }

    package func open(_ url: String) throws { try call("Page.navigate", ["url": url]) }

    /// Changes the size of the viewport, for example to that of a phone.
    package func resize(width: Int, height: Int) throws {
        try call(
            "Emulation.setDeviceMetricsOverride",
            ["width": width, "height": height, "deviceScaleFactor": 2, "mobile": width < 600])
    }

    /// The value of a JavaScript expression as text.
    package func evaluate(_ expression: String) throws -> String {
        let result = try call("Runtime.evaluate", ["expression": "String(\(expression))", "awaitPromise": true])
        if let failure = result["exceptionDetails"] { throw LabError("\(expression): \(failure)") }
        return (result["result"] as? [String: Any])?["value"] as? String ?? ""
    }

    /// The text of the element with this id.
    package func text(_ id: String) throws -> String {
        try evaluate("document.getElementById('\(id)')?.textContent ?? ''")
    }

    /// Saves a picture of the whole page as PNG.
    package func screenshot(to path: String) throws {
        let result = try call("Page.captureScreenshot", ["format": "png", "captureBeyondViewport": true])
        guard let data = (result["data"] as? String).flatMap({ Data(base64Encoded: $0) }) else {
            throw LabError("no picture")
        }
        try FileManager.default.createDirectory(
            atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
        try data.write(to: URL(fileURLWithPath: path))
    }
}

/// A client of RFC 6455 for text frames of any length, which is all that a debugging port needs.
private final class WebSocket {
    private let client: HTTPClient
    private var input: [UInt8] = []

    init(port: UInt16, path: String) throws {
        client = try HTTPClient(port: port)
        client.write(
            "GET \(path) HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
        while !input.starts(with: Array("HTTP/1.1 101".utf8))
            || !String(decoding: input, as: UTF8.self).contains("\r\n\r\n")
        {
            try more()
        }
        let text = String(decoding: input, as: UTF8.self)
        let head = text.range(of: "\r\n\r\n").map { text[..<$0.upperBound].utf8.count } ?? input.count
        input.removeFirst(head)
    }

    private func more() throws {
        let piece = try client.readSome()
        if piece.isEmpty { throw LabError("Chromium has closed the debugging port") }
        input += piece
    }

    private func need(_ count: Int) throws { while input.count < count { try more() } }

    /// Sends a text frame. It is masked, as a client's frames must be, with a mask of zeros, which changes nothing.
    func send(_ text: String) throws {
        let body = Array(text.utf8)
        var frame: [UInt8] = [0x81]
        if body.count < 126 {
            frame.append(0x80 | UInt8(body.count))
        } else {
            frame.append(0x80 | 127)
            for shift in stride(from: 56, through: 0, by: -8) {
                frame.append(UInt8(truncatingIfNeeded: body.count >> shift))
            }
        }
        frame += [0, 0, 0, 0]
        guard client.write(frame + body) else { throw LabError("Chromium has closed the debugging port") }
    }

    /// Receives the next message.
    func receive() throws -> String {
        var message: [UInt8] = []
        while true {
            try need(2)
            let isLast = input[0] & 0x80 != 0
            var length = Int(input[1] & 0x7F)
            var head = 2
            if length >= 126 {
                head += length == 126 ? 2 : 8
                try need(head)
                length = input[2..<head].reduce(0) { $0 << 8 | Int($1) }
            }
            try need(head + length)
            message += input[head..<(head + length)]
            input.removeFirst(head + length)
            if isLast { return String(decoding: message, as: UTF8.self) }
        }
    }
}
