/// The page's style sheet: light or dark as the reader's system is, and one column on a phone.
enum PageStyle {
    static let css = #"""
        :root {
          --paper: #f4f5f7; --card: #fff; --ink: #1b1f27; --soft: #667085; --line: #e3e6eb; --accent: #2563eb;
          --good: #0e7050; --goodBack: #dcf5ea; --warn: #9a5b00; --warnBack: #fdf0d5; --bad: #b42318; --badBack: #fde7e4;
        }
        @media (prefers-color-scheme: dark) {
          :root {
            --paper: #11141a; --card: #1a1f28; --ink: #e8ebf0; --soft: #98a2b3; --line: #2b323e; --accent: #6ea0ff;
            --good: #5fd3a5; --goodBack: #123528; --warn: #f0b95b; --warnBack: #3a2c10; --bad: #ff8d80; --badBack: #431d19;
          }
        }
        * { box-sizing: border-box; }
        [hidden] { display: none !important; }
        body {
          margin: 0 auto; max-width: 1180px; padding: 20px; background: var(--paper); color: var(--ink);
          font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif;
        }
        header { display: flex; flex-wrap: wrap; align-items: center; gap: 6px 18px; margin-bottom: 16px; }
        .who { font-size: 19px; }
        .who b { color: var(--accent); }
        .what { flex: 1; color: var(--soft); overflow-wrap: anywhere; }
        .what i { font-style: normal; padding: 0 8px; }
        .pill { border-radius: 99px; padding: 4px 14px; font-weight: 600; background: var(--line); }
        .pill.good { background: var(--goodBack); color: var(--good); }
        .pill.warn { background: var(--warnBack); color: var(--warn); }
        .pill.bad { background: var(--badBack); color: var(--bad); }
        .banner {
          background: var(--badBack); color: var(--bad); border-radius: 10px; padding: 12px 16px; margin-bottom: 16px;
          font-weight: 600;
        }
        main { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 16px; transition: opacity .3s; }
        main.stale { opacity: .45; }
        .card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 16px 18px; min-width: 0; }
        .lead, .wide { grid-column: 1 / -1; }
        .lead #sentence { margin: 0; font-size: 22px; font-weight: 600; line-height: 1.3; overflow-wrap: anywhere; }
        #reason, #since { margin: 6px 0 0; overflow-wrap: anywhere; }
        #sync { margin-top: 16px; }
        h2 { margin: 0 0 10px; font-size: 13px; letter-spacing: .04em; text-transform: uppercase; color: var(--soft); }
        .count { color: var(--ink); }
        .soft { color: var(--soft); }
        .bar { height: 12px; border-radius: 6px; background: var(--line); overflow: hidden; margin-bottom: 14px; }
        .bar div { height: 100%; width: 0; border-radius: 6px; background: var(--accent); transition: width .4s; }
        .figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(110px, 1fr)); gap: 10px 18px; margin: 0; }
        .figures dt { color: var(--soft); font-size: 13px; }
        .figures dd { margin: 0; font-size: 18px; font-weight: 600; font-variant-numeric: tabular-nums; }
        .figures dd.why { font-size: 13px; font-weight: 400; color: var(--soft); overflow-wrap: anywhere; }
        .caution { margin: 10px 0 0; color: var(--warn); overflow-wrap: anywhere; }
        #flows {
          display: grid; grid-template-columns: repeat(auto-fill, minmax(220px, 1fr)); gap: 6px 22px; margin-top: 14px;
        }
        .flow { display: flex; align-items: center; gap: 10px; font-variant-numeric: tabular-nums; }
        .flow span { flex: 0 0 50px; color: var(--soft); font-size: 13px; }
        .flow svg { flex: 1; height: 26px; min-width: 0; }
        .flow b { flex: 0 0 58px; text-align: right; font-weight: 600; }
        .chart { width: 100%; height: 80px; margin-top: 14px; display: block; border-bottom: 1px solid var(--line); }
        .axis { display: flex; justify-content: space-between; margin: 4px 0 0; font-size: 12px; }
        .line { fill: none; stroke: var(--accent); stroke-width: 1.5; vector-effect: non-scaling-stroke; }
        .area { fill: var(--accent); opacity: .14; stroke: none; }
        .kinds { margin: 0 0 8px; display: flex; flex-wrap: wrap; gap: 6px; }
        .kinds:empty::after { content: "nothing"; color: var(--soft); }
        .kinds span { background: var(--warnBack); color: var(--warn); border-radius: 99px; padding: 2px 10px; font-size: 13px; }
        table { width: 100%; border-collapse: collapse; font-size: 14px; }
        td { padding: 7px 14px 7px 0; border-top: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
        th { padding: 0 14px 4px 0; text-align: left; font-size: 12px; font-weight: 400; color: var(--soft); }
        td.time { white-space: nowrap; color: var(--soft); width: 1%; font-variant-numeric: tabular-nums; }
        td.key { font-family: ui-monospace, "Liberation Mono", monospace; font-size: 13px; width: 30%; }
        td.kind { width: 1%; white-space: nowrap; }
        tr.warn td.text { color: var(--warn); }
        tr.error td.text { color: var(--bad); }
        input, button { font: inherit; padding: 6px 12px; border-radius: 8px; border: 1px solid var(--line); }
        button { background: var(--accent); color: var(--card); border-color: var(--accent); font-weight: 600; }
        #login { margin-bottom: 16px; }
        #login div { margin-top: 8px; }
        footer { display: flex; justify-content: space-between; margin: 16px 2px 0; font-size: 13px; }
        @media (max-width: 720px) {
          body { padding: 12px; }
          header { justify-content: space-between; }
          .what { order: 3; flex: 1 0 100%; }
          main { grid-template-columns: minmax(0, 1fr); gap: 12px; }
          .lead #sentence { font-size: 19px; }
          td.key { width: auto; }
          thead { display: none; }
          #incidents tr, #events tr { display: block; padding: 8px 0; border-top: 1px solid var(--line); }
          #incidents td, #events td { display: inline; border: 0; padding: 0 8px 0 0; }
          #incidents td.text, #events td.text { display: block; padding: 2px 0 0; }
        }
        """#
}
