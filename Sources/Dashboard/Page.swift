/// The page at `/`: one document without external resources.
///
/// It contains no figures. Its script requests `/api/status` every second, and the events, the incidents and the last
/// verification every five seconds. It keeps five minutes of what it has seen as history, so a page that stays open for
/// days does not grow.
enum Page {
    static let contentType = "text/html; charset=utf-8"

    static let html = """
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="color-scheme" content="light dark">
        <title>df2redis</title>
        <link rel="icon" href="data:,">
        <style>
        \(PageStyle.css)
        </style>
        </head>
        <body>
        \(body)
        <script>
        \(PageScript.javaScript)
        </script>
        </body>
        </html>

        """

    private static let body = """
        <header>
          <div class="who"><b>df2redis</b> <span id="task"></span></div>
          <div class="what"><span id="source"></span><i>&rarr;</i><span id="target"></span></div>
          <span id="pill" class="pill">&hellip;</span>
        </header>
        <div id="contact" class="banner" role="alert" hidden></div>
        <form id="login" class="card" hidden>
          <label for="token">This task's figures need a token (dashboard.token)</label>
          <div><input id="token" type="password" autocomplete="off"> <button>Show</button></div>
          <p id="refusal" class="soft" role="alert" hidden>This is not the task's token.</p>
        </form>
        <main id="main">
          <section class="card lead">
            <p id="sentence" aria-live="polite">Asking the daemon &hellip;</p>
            <p id="reason" hidden></p>
            <p id="since" class="soft"></p>
            <div id="sync" hidden>
              <div id="progress" class="bar" role="progressbar" aria-label="keys copied, in percent" aria-valuemin="0"
                aria-valuemax="100"><div id="bar"></div></div>
              <dl class="figures">
                <div><dt>copied</dt><dd id="percent"></dd></div>
                <div><dt>keys</dt><dd id="syncKeys"></dd></div>
                <div><dt>applied</dt><dd id="syncBytes"></dd></div>
                <div><dt>rate</dt><dd id="syncRate"></dd></div>
                <div><dt>time left</dt><dd id="left"></dd></div>
              </dl>
            </div>
          </section>
          <section class="card">
            <h2>Lag</h2>
            <dl class="figures">
              <div><dt>seconds</dt><dd id="lagSeconds"></dd></div>
              <div><dt>records</dt><dd id="lagRecords"></dd></div>
              <div><dt>bytes</dt><dd id="lagBytes"></dd></div>
              <div><dt>waiting (on disk)</dt><dd id="queued"></dd></div>
            </dl>
            <div id="flows"></div>
          </section>
          <section class="card">
            <h2>Throughput</h2>
            <dl class="figures">
              <div><dt>records/s</dt><dd id="recordRate"></dd></div>
              <div><dt>applied/s</dt><dd id="byteRate"></dd></div>
              <div><dt>records</dt><dd id="records"></dd></div>
              <div><dt>keys of snapshots</dt><dd id="keys"></dd></div>
            </dl>
            <svg id="throughput" class="chart" viewBox="0 0 300 80" preserveAspectRatio="none" role="img"
              aria-label="bytes applied a second, five minutes"></svg>
            <p class="soft axis"><span>5 minutes ago</span><span id="peak"></span><span>now</span></p>
          </section>
          <section class="card">
            <h2>Connections</h2>
            <dl class="figures">
              <div><dt>source answers in</dt><dd id="sourceTrip"></dd></div>
              <div><dt>target answers in</dt><dd id="targetTrip"></dd></div>
              <div><dt>sessions</dt><dd id="sessions"></dd></div>
              <div><dt>full syncs</dt><dd id="fullSyncs"></dd><dd id="fullSyncReasons" class="why"></dd></div>
              <div><dt>target lost</dt><dd id="losses"></dd></div>
              <div><dt>running since</dt><dd id="started"></dd></div>
            </dl>
          </section>
          <section class="card">
            <h2>Last verification</h2>
            <p id="check" class="soft">&hellip;</p>
            <dl class="figures">
              <div><dt>keys to be read at the source</dt><dd id="refreshes"></dd></div>
            </dl>
            <p id="obstacle" class="caution" hidden></p>
          </section>
          <section class="card wide">
            <h2>Skipped, or different from the source <span id="incidentCount" class="count"></span></h2>
            <p id="kinds" class="kinds"></p>
            <table aria-label="incidents">
              <thead><tr><th scope="col">time</th><th scope="col">kind</th><th scope="col">key</th><th scope="col">reason</th></tr></thead>
              <tbody id="incidents"></tbody>
            </table>
          </section>
          <section class="card wide">
            <h2>Events</h2>
            <table aria-label="events">
              <thead><tr><th scope="col">time</th><th scope="col">event</th></tr></thead>
              <tbody id="events"></tbody>
            </table>
          </section>
        </main>
        <footer class="soft"><span id="version"></span> <span>updated <time id="updated">never</time></span></footer>
        """
}
