import DragonflySimulator
import Foundation
import Lab
import Testing

/// The page in a real browser: what it shows, against what the daemon says. Pictures go to `.build/screenshots`.
@Suite(.serialized, .enabled(if: Browser.path != nil)) struct `The page in Chromium` {
    private final class Scene: TaskScene<RedisServer> {
        let browser: Browser

        init(_ sections: [String: [String]] = [:], isDark: Bool = false) throws {
            browser = try Browser(try #require(Browser.path), isDark: isDark)
            let usual = [
                "shutdown": ["drainSeconds: 3"], "dashboard": ["addr: 127.0.0.1:0"],
                "policy": ["onError: skip", "onUnsupported: skip"],
            ]
            try super.init(from: startedMaster(shards: 4), into: RedisServer(), usual.merging(sections) { $1 })
            try start()
        }

        func open() throws { try browser.open("http://127.0.0.1:\(daemon.pagePort())/") }

        func status() throws -> [String: Any] { try HTTPClient.get("/api/status", port: daemon.pagePort()).object() }

        func wait(for text: String, in id: String) throws {
            var last = ""
            do {
                try Lab.wait(until: "\(id) says '\(text)'") {
                    last = try browser.text(id)
                    return last.contains(text)
                }
            } catch { throw LabError("\(error); it says '\(last)'") }
        }

        func picture(_ name: String) throws {
            try browser.screenshot(to: ".build/screenshots/\(name).png")
        }
    }

    @Test func `shows a stable task, its incidents, a lost target, the leave, and the loss of contact`()
        throws
    {
        let scene = try Scene()
        let client = try scene.redis.client()
        try scene.daemon.wait(forLine: "stable: following")
        try scene.open()
        try scene.wait(for: "Stable: the target has everything", in: "sentence")
        #expect(try scene.browser.text("pill") == "ready")
        #expect(try scene.browser.text("task") == "lab")
        for number in 0..<20_000 { scene.master.execute("SET key:\(number) value") }
        try scene.wait(for: "20,000", in: "records")
        #expect(try scene.status()["records"] as? Int == 20_000)
        // A command that the target refuses: the key has another type there. Its name is no HTML.
        try client.command("SET", "<b>odd</b>&amp;", "text")
        scene.master.execute("LPUSH <b>odd</b>&amp; a")
        try scene.wait(for: "<b>odd</b>&amp;", in: "incidents")
        try scene.wait(for: "stable: following the source's journal", in: "events")
        #expect(try scene.browser.evaluate("document.querySelectorAll('.flow').length") == "4")
        #expect(try scene.browser.evaluate("document.querySelectorAll('#incidents b').length") == "0")
        try scene.wait(for: "none has been made", in: "check")
        _ = try HTTPClient(socket: scene.daemon.controlSocket).request(
            "/api/verify?keysPerSecond=100000", method: "POST")
        try scene.wait(for: " keys, ", in: "check")
        let named = "[...document.querySelectorAll('svg')].every(e => e.getAttribute('role') === 'img' && e.ariaLabel)"
        #expect(try scene.browser.evaluate(named) == "true")
        #expect(try scene.browser.evaluate("document.querySelectorAll('table thead th').length") == "6")
        try scene.picture("stable")
        try scene.browser.resize(width: 390, height: 844)
        #expect(try scene.browser.evaluate("document.documentElement.scrollWidth <= 390") == "true")
        try scene.picture("stable-phone")
        try scene.browser.resize(width: 1200, height: 1000)

        scene.redis.pause()
        scene.master.execute("SET waiting 1")
        try scene.wait(for: "s of lag", in: "sentence")
        scene.redis.resume()
        try scene.wait(for: "Stable: the target has everything", in: "sentence")
        scene.redis.stop()
        scene.master.execute("SET waiting 2")
        try scene.wait(for: "the target does not serve (", in: "sentence")
        try scene.wait(for: "target lost", in: "pill")
        try scene.picture("target-lost")

        scene.daemon.process.signal(SIGTERM)
        try scene.wait(for: "Leaving the source in order", in: "sentence")
        _ = try scene.daemon.process.waitForEnd(timeout: .seconds(30))
        try scene.wait(for: "No contact since", in: "contact")
        #expect(try scene.browser.text("pill") == "no contact")
        #expect(try scene.browser.evaluate("document.getElementById('main').className") == "stale")
        try scene.picture("no-contact")
    }

    @Test func `shows the progress of a full sync in dark mode`() throws {
        let scene = try Scene(["advanced": ["qps: 2000"]], isDark: true)
        for number in 0..<20_000 { scene.master.execute("SET key:\(number) value") }
        // The first daemon may have found a source without keys: a second one makes a full sync of all of them.
        try scene.daemon.leave()
        let target = try RedisServer()
        defer { target.stop() }
        let daemon = try Daemon(
            .replicate,
            .init(
                source: scene.master.port, target: target.port,
                sections: ["advanced": ["qps: 2000"], "dashboard": ["addr: 127.0.0.1:0"]]))
        defer { daemon.process.kill() }
        try scene.browser.open("http://127.0.0.1:\(daemon.pagePort())/")
        try scene.wait(for: "of 20,000 keys copied, about", in: "sentence")
        try scene.wait(for: "of 20,000", in: "syncKeys")
        #expect(try scene.browser.evaluate("document.getElementById('sync').hidden") == "false")
        let bar = "document.getElementById('progress').ariaValueNow"
        try wait(until: "the bar says how far it is") { Int(try scene.browser.evaluate(bar)) != nil }
        try scene.picture("full-sync-dark")
        let progress = try HTTPClient.get("/api/sync/progress", port: daemon.pagePort()).object()
        #expect(progress["phase"] as? String == "full_sync")
        #expect(progress["sourceKeysEstimated"] as? Int == 20_000)
        let percent = try #require(progress["percent"] as? Double)
        #expect(percent > 0 && percent < 1)
        #expect((progress["flowStats"] as? [[String: Any]])?.count == 4)
        try scene.wait(for: "Stable", in: "sentence")
        #expect(try scene.browser.evaluate("document.getElementById('sync').hidden") == "true")
        try daemon.leave()
    }

    @Test func `shows as plain text why the source is lost, why full syncs were made and why keys are not read`() throws
    {
        let scene = try Scene()
        try scene.daemon.wait(forLine: "stable: following")
        try scene.open()
        try scene.wait(for: "1 first", in: "fullSyncReasons")
        #expect(try scene.browser.evaluate("document.getElementById('reason').hidden") == "true")
        scene.master.stop()
        try scene.wait(for: "The source 127.0.0.1:\(scene.master.port) is lost, and is tried again.", in: "sentence")
        try scene.wait(for: "Connection refused", in: "reason")
        try scene.wait(for: "source-lost", in: "pill")
        #expect(try scene.browser.evaluate("document.querySelectorAll('[title]').length") == "0")
        try scene.picture("source-lost")
        let blocked = """
            (() => { const s = structuredClone(state.last); s.refreshes = { waiting: 7, obstacle: "no +DUMP" }; show(s);
            return $("obstacle").hidden + " " + $("obstacle").textContent; })()
            """
        #expect(try scene.browser.evaluate(blocked) == "false They are not read: no +DUMP")
    }

    @Test func `places chart samples by their time, even at irregular intervals`() throws {
        let scene = try Scene()
        try scene.open()
        try scene.wait(for: "Stable", in: "sentence")
        func line(_ samples: String) throws -> String {
            try scene.browser.evaluate(
                """
                (() => { const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
                const samples = \(samples); forget(samples, 400000); draw(svg, samples, 400000, 300, 80, 1);
                return svg.childNodes.length < 2 ? "" : svg.childNodes[1].getAttribute("points"); })()
                """)
        }
        let samples = "[{at: 99000, value: 9}, {at: 100000, value: 1}, {at: 370000, value: 1}, {at: 400000, value: 2}]"
        #expect(try line(samples) == "0.0,40.5 270.0,40.5 300.0,2.0")
        #expect(try line("[{at: 400000, value: 2}]").isEmpty)
    }

    @Test func `asks for the token, and shows nothing until the right one is entered`() throws {
        let scene = try Scene(["dashboard": ["addr: 127.0.0.1:0", "token: s3cret"]])
        try scene.daemon.wait(forLine: "stable: following")
        try scene.open()
        try wait(until: "it asks") { try scene.browser.evaluate("document.getElementById('login')?.hidden") == "false" }
        #expect(try scene.browser.text("source").isEmpty)
        func enter(_ token: String) throws {
            let script =
                "document.getElementById('token').value = '\(token)'; document.querySelector('#login button').click()"
            try scene.browser.call("Runtime.evaluate", ["expression": script])
        }
        let isRefused = "document.getElementById('refusal').hidden === false"
        #expect(try scene.browser.evaluate(isRefused) == "false")
        try enter("wrong")
        try wait(until: "it says that this is not the token") { try scene.browser.evaluate(isRefused) == "true" }
        try enter("s3cret")
        try scene.wait(for: "Stable", in: "sentence")
        #expect(try scene.browser.evaluate("document.getElementById('login')?.hidden") == "true")
    }
}
