/// The page's script. It inserts text as text and never as HTML, because a key may have any name.
enum PageScript {
    static let javaScript = #"""
        "use strict";
        const $ = id => document.getElementById(id);
        const shown = 300000;
        const state = { last: null, heard: 0, token: sessionStorage.getItem("token") || "", points: [], flows: new Map() };

        const int = n => n === null || n === undefined ? "–" : Math.round(n).toLocaleString("en");
        const bytes = n => {
          if (n === null || n === undefined) return "–";
          const units = ["B", "KiB", "MiB", "GiB", "TiB"];
          let unit = 0;
          while (n >= 1024 && unit < units.length - 1) { n /= 1024; unit += 1; }
          return (unit === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)) + "\u00a0" + units[unit];
        };
        const span = s => s < 90 ? Math.max(0, Math.round(s)) + " s" : s < 5400 ? Math.round(s / 60) + " min"
          : s < 172800 ? Math.round(s / 3600) + " h" : Math.round(s / 86400) + " days";
        const trip = ms => ms === null || ms === undefined ? "–" : ms < 10 ? ms.toFixed(2) + " ms" : Math.round(ms) + " ms";
        const pad = n => String(n).padStart(2, "0");
        const clock = t => { const d = new Date(t); return [d.getHours(), d.getMinutes(), d.getSeconds()].map(pad).join(":"); };
        const day = t => { const d = new Date(t); return d.getFullYear() + "-" + pad(d.getMonth() + 1) + "-" + pad(d.getDate()); };
        const moment = t => (day(t) === day(Date.now()) ? "" : day(t) + " ") + clock(t);
        const set = (id, text) => { const e = $(id); if (e.textContent !== text) e.textContent = text; };
        const say = (id, text) => { set(id, text || ""); $(id).hidden = !text; };

        async function ask(path) {
          const abort = new AbortController();
          const timer = setTimeout(() => abort.abort(), 5000);
          try {
            const headers = state.token ? { Authorization: "Bearer " + state.token } : {};
            const answer = await fetch(path, { headers, signal: abort.signal, cache: "no-store" });
            if (answer.status === 401) {
              $("login").hidden = false;
              $("main").hidden = true;
              $("refusal").hidden = !state.token;
              throw new Error("token");
            }
            if (!answer.ok) throw new Error("status " + answer.status);
            $("login").hidden = true;
            $("main").hidden = false;
            return await answer.json();
          } finally { clearTimeout(timer); }
        }

        // Figures of a session begin anew with the next one: totals do not.
        function rate(field, seconds) {
          const points = state.points;
          if (points.length < 2) return 0;
          const now = points[points.length - 1];
          let first = points[0];
          for (const point of points) { if (now.at - point.at <= seconds * 1000) { first = point; break; } }
          return now.at > first.at ? Math.max(0, now[field] - first[field]) * 1000 / (now.at - first.at) : 0;
        }

        const targetLoss = s => "the target does not serve" + (s.targetLoss ? " (" + s.targetLoss + ")" : "");
        function sentence(s) {
          const lag = s.lagSeconds === null ? 0 : s.lagSeconds;
          if (s.health.code === "source-lost") return "The source " + s.source + " is lost, and is tried again.";
          switch (s.phase) {
          case "connecting": return "Connecting to " + s.source + " and " + s.target + (s.detail ? ": " + s.detail : ".");
          case "full sync":
            if (s.targetLost) return "Full sync: " + targetLoss(s) + "; what arrives is kept, " + bytes(s.queuedBytes) + " wait.";
            if (!s.sourceKeys) return "Full sync: " + int(s.keys) + " keys copied.";
            return "Full sync: " + percent(s) + " % of " + int(s.sourceKeys) + " keys copied"
              + (timeLeft(s) === null ? "." : ", about " + span(timeLeft(s)) + " left.");
          case "stable":
            if (s.targetLost) return "Stable, but " + targetLoss(s) + "; what arrives is kept, " + bytes(s.lagBytes) + " wait.";
            if (lag === 0) return "Stable: the target has everything that the source has sent.";
            return "Stable: following the source, " + lag.toFixed(1) + " s of lag.";
          case "waiting": return "Waiting before another attempt: " + (s.detail || s.source);
          case "catching up": return "The queue was full: " + bytes(s.queuedBytes) + " are applied before the task reconnects to the source.";
          case "leaving": return "Leaving the source in order.";
          default: return s.summary;
          }
        }
        const share = s => s.sourceKeys ? Math.min(1, s.keys / s.sourceKeys) : 0;
        const percent = s => Math.floor(100 * share(s));
        function timeLeft(s) {
          const speed = rate("keys", 15);
          return speed > 0 && s.sourceKeys ? Math.max(0, s.sourceKeys - s.keys) / speed : null;
        }

        // Samples are as far apart as the answers came: seldom while the page is hidden.
        const forget = (samples, now) => { while (samples.length && now - samples[0].at > shown) samples.shift(); };
        function draw(svg, samples, now, width, height, least) {
          const peak = Math.max(least, ...samples.map(s => s.value));
          const x = s => (width * (1 - (now - s.at) / shown)).toFixed(1);
          const points = samples.map(s => x(s) + "," + (height - 1 - s.value / peak * (height - 3)).toFixed(1));
          const parts = [];
          if (points.length > 1) {
            const last = samples[samples.length - 1];
            parts.push(["polygon", "area", x(samples[0]) + "," + height + " " + points.join(" ") + " " + x(last) + "," + height]);
            parts.push(["polyline", "line", points.join(" ")]);
          }
          while (svg.childNodes.length > parts.length) svg.lastChild.remove();
          parts.forEach(([name, style, list], i) => {
            let shape = svg.childNodes[i];
            if (!shape) {
              shape = document.createElementNS("http://www.w3.org/2000/svg", name);
              shape.setAttribute("class", style);
              svg.append(shape);
            }
            shape.setAttribute("points", list);
          });
        }

        function showFlows(flows, isLagKnown, now) {
          const seen = new Set();
          for (const flow of flows) {
            seen.add(flow.flow);
            let row = state.flows.get(flow.flow);
            if (!row) {
              const element = document.createElement("div");
              element.className = "flow";
              element.innerHTML = '<span></span><svg viewBox="0 0 300 26" preserveAspectRatio="none"></svg><b></b>';
              element.children[0].textContent = "flow " + flow.flow;
              element.children[1].setAttribute("role", "img");
              element.children[1].setAttribute("aria-label", "lag of flow " + flow.flow + " in seconds, five minutes");
              $("flows").append(element);
              row = { element, lags: [] };
              state.flows.set(flow.flow, row);
            }
            row.lags.push({ at: now, value: flow.lagSeconds });
            forget(row.lags, now);
            draw(row.element.children[1], row.lags, now, 300, 26, 1);
            row.element.children[2].textContent = isLagKnown ? flow.lagSeconds.toFixed(1) + " s" : "–";
          }
          // The lag from before the source was lost says nothing now.
          if (!isLagKnown) for (const row of state.flows.values()) row.element.children[2].textContent = "–";
          // Between two sessions there are no flows; what was seen of them stays until there are others.
          if (flows.length) for (const [number, row] of state.flows) {
            if (!seen.has(number)) { row.element.remove(); state.flows.delete(number); }
          }
        }

        function show(s) {
          const now = Date.now();
          state.last = s;
          state.heard = now;
          state.points.push({ at: now, bytes: s.totals.appliedBytes, records: s.totals.records, keys: s.totals.keys });
          forget(state.points, now);

          set("task", s.task); set("source", s.source); set("target", s.target);
          const pill = $("pill");
          const calm = s.phase === "stable" || s.phase === "full sync";
          const isLost = s.targetLost && s.phase !== "leaving";
          pill.textContent = s.health.status !== "ok" ? s.health.code : s.ready.status === "ok" ? "ready"
            : isLost ? "target lost" : s.phase;
          pill.className = "pill " + (s.health.status !== "ok" ? "bad"
            : s.ready.status === "ok" ? "good" : s.targetLost || !calm ? "warn" : "");
          document.title = s.task + " · " + (s.health.status !== "ok" ? s.health.code : isLost ? "target lost" : s.phase);
          set("sentence", sentence(s));
          say("reason", s.health.status !== "ok" ? s.health.reason
            : s.ready.status !== "ok" && s.phase === "stable" ? s.ready.reason : "");
          set("since", s.phase + " since " + moment(s.phaseSince * 1000));

          const syncing = s.phase === "full sync";
          $("sync").hidden = !syncing;
          if (syncing) {
            $("bar").style.width = (100 * share(s)).toFixed(1) + "%";
            if (s.sourceKeys) $("progress").setAttribute("aria-valuenow", percent(s));
            else $("progress").removeAttribute("aria-valuenow");
            set("percent", s.sourceKeys ? percent(s) + " %" : "–");
            set("syncKeys", int(s.keys) + (s.sourceKeys ? " of " + int(s.sourceKeys) : ""));
            set("syncBytes", bytes(s.appliedBytes));
            set("syncRate", int(rate("keys", 5)) + " keys/s, " + bytes(rate("bytes", 5)) + "/s");
            set("left", timeLeft(s) === null ? "–" : span(timeLeft(s)));
          }

          set("lagSeconds", s.lagSeconds === null ? "–" : s.lagSeconds.toFixed(1));
          set("lagRecords", s.lagRecords === null ? "–" : (s.isLagEstimated ? "about " : "") + int(s.lagRecords));
          set("lagBytes", bytes(s.lagBytes));
          set("queued", bytes(s.queuedBytes) + " (" + bytes(s.queuedDiskBytes) + ")");
          showFlows(s.flows, s.lagSeconds !== null, now);

          set("recordRate", int(rate("records", 5)));
          set("byteRate", bytes(rate("bytes", 5)));
          set("records", int(s.totals.records));
          set("keys", int(s.totals.keys));
          const speeds = [];
          for (let i = 1; i < state.points.length; i += 1) {
            const [a, b] = [state.points[i - 1], state.points[i]];
            speeds.push({ at: b.at, value: b.at > a.at ? Math.max(0, b.bytes - a.bytes) * 1000 / (b.at - a.at) : 0 });
          }
          draw($("throughput"), speeds, now, 300, 80, 1024);
          set("peak", speeds.length ? "peak " + bytes(Math.max(...speeds.map(s => s.value))) + "/s" : "");

          const hasSource = s.phase !== "waiting" && s.phase !== "connecting" && s.phase !== "catching up";
          set("sourceTrip", hasSource ? trip(s.sourceRoundTripMilliseconds) : "–");
          set("targetTrip", s.targetLost ? "–" : trip(s.targetRoundTripMilliseconds));
          set("sessions", int(s.sessions));
          const reasons = Object.entries(s.fullSyncReasons).map(([why, n]) => n + " " + why).join(", ");
          set("fullSyncs", int(s.fullSyncs));
          set("fullSyncReasons", reasons);
          set("losses", int(s.targetLosses));
          set("refreshes", s.refreshes ? int(s.refreshes.waiting) : "–");
          say("obstacle", s.refreshes && s.refreshes.obstacle ? "They are not read: " + s.refreshes.obstacle : "");
          set("started", moment(s.startedAt * 1000));

          const kinds = Object.entries(s.incidents);
          set("incidentCount", int(kinds.reduce((sum, [, n]) => sum + n, 0)));
          fill($("kinds"), kinds, ([kind, n]) => {
            const chip = document.createElement("span");
            chip.textContent = int(n) + " × " + kind;
            return chip;
          });
          set("version", "df2redis " + s.version + ", process " + s.pid);
          set("updated", clock(now));
          contact();
        }

        // Rows are made anew only when something in them has changed.
        function fill(element, items, make) {
          const key = JSON.stringify(items);
          if (element.dataset.key === key) return;
          element.dataset.key = key;
          element.replaceChildren(...items.map(make));
        }
        const row = (style, cells) => {
          const line = document.createElement("tr");
          line.className = style;
          for (const [name, text] of cells) {
            const cell = document.createElement("td");
            cell.className = name;
            cell.textContent = text;
            line.append(cell);
          }
          return line;
        };

        async function more() {
          try {
            const [events, incidents, check] = [await ask("api/events"), await ask("api/incidents"), await ask("api/check/latest")];
            fill($("events"), events.events.slice(-30).reverse(), e =>
              row(e.type, [["time", moment(Date.parse(e.timestamp))], ["text", (e.flow && !e.message.startsWith("flow ") ? "flow " + e.flow + ": " : "") + e.message]]));
            $("incidents").closest("table").hidden = incidents.incidents.length === 0;
            fill($("incidents"), incidents.incidents.slice(-20).reverse(), i =>
              row("", [["time", moment(Date.parse(i.timestamp))], ["kind", i.kind],
                ["key", i.key + (i.database ? " in database " + i.database : "")], ["text", i.subject + ": " + i.reason]]));
            set("check", (check.finishedAt ? moment(Date.parse(check.finishedAt)) + ": " : "")
              + (check.status === "failed" ? "failed: " : "") + check.message);
          } catch (error) { /* The next question to the status shows it. */ }
        }

        // What was heard last is no news: it says so as soon as an answer is missing.
        function contact(failure) {
          if (!failure) { $("contact").hidden = true; $("main").classList.remove("stale"); return; }
          $("main").classList.add("stale");
          $("contact").hidden = false;
          const pill = $("pill");
          pill.textContent = "no contact";
          pill.className = "pill bad";
          document.title = "no contact" + (state.last ? " · " + state.last.task : "");
          $("contact").textContent = state.heard
            ? "No contact since " + moment(state.heard) + ": the daemon has ended, or cannot be reached. What is shown is what it said last."
            : "No contact: the daemon cannot be reached.";
        }

        async function poll() {
          try { show(await ask("api/status")); } catch (error) {
            if (error.message !== "token") contact(error); else { $("contact").hidden = true; }
          }
          setTimeout(poll, document.hidden ? 5000 : 1000);
        }
        async function pollMore() {
          await more();
          setTimeout(pollMore, document.hidden ? 15000 : 5000);
        }
        $("login").addEventListener("submit", event => {
          event.preventDefault();
          state.token = $("token").value.trim();
          sessionStorage.setItem("token", state.token);
          ask("api/status").then(s => { show(s); more(); }).catch(() => {});
        });
        document.addEventListener("visibilitychange", () => {
          if (!document.hidden) ask("api/status").then(show).catch(() => {});
        });
        poll();
        pollMore();
        """#
}
