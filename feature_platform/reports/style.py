"""The one style sheet of the reports: light and dark, phone and desk, screen and print."""

_DARK = """{color-scheme:dark;--paper:#12171d;--ink:#e6ebf0;--soft:#a3afbb;
--line:#323c47;--wash:#1b222a;--now:#6ea8fe;--ref:#7d8894;--drift:#ff9a90;--warn:#f2c063;
--ok:#84d6a1;--few:#b9bcf2;--driftwash:#3d1c1a;--warnwash:#3a2c0d;--okwash:#173323;
--fewwash:#26274a}"""

# On paper it is never dark, whatever was chosen: printers leave backgrounds out.
_THEMES = f"""
:root{{color-scheme:light;--paper:#fff;--ink:#15202b;--soft:#526070;--line:#d5dbe1;--wash:#f4f6f8;
--now:#1f5fbf;--ref:#8a95a1;--drift:#b3261e;--warn:#8a5a00;--ok:#1d6b3a;--few:#5b5f97;
--driftwash:#fbe9e7;--warnwash:#fff3d9;--okwash:#e5f3e9;--fewwash:#ececf8}}
@media screen and (prefers-color-scheme:dark){{:root:not([data-theme=light]){_DARK}}}
@media screen{{:root[data-theme=dark]{_DARK}}}
"""
_RULES = """\
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1160px;margin:0 auto;padding:20px 16px 48px}
h1{font-size:1.6rem;margin:0 0 8px;overflow-wrap:anywhere}
h2{font-size:1.15rem;margin:32px 0 8px}
h3{font-size:1.05rem;margin:0;display:inline;overflow-wrap:anywhere}
h4{font-size:.85rem;margin:0 0 4px;color:var(--soft);font-weight:600}
p{margin:8px 0;max-width:75ch;overflow-wrap:anywhere}
a{color:inherit;text-decoration-color:var(--ref);text-underline-offset:5px}
:focus-visible{outline:3px solid var(--now);outline-offset:2px}
code,pre{font:13px/1.5 ui-monospace,"DejaVu Sans Mono",monospace;background:var(--wash)}
pre{padding:8px 12px;border-radius:6px;white-space:pre-wrap;overflow-wrap:anywhere}
.chips{list-style:none;display:flex;flex-wrap:wrap;gap:8px;padding:0;margin:0}
[hidden]{display:none!important}
.tools{display:flex;flex-wrap:wrap;align-items:center;gap:8px 16px;padding:8px 0;
background:var(--paper)}
.tools input[type=checkbox]{margin:0 4px 0 0;accent-color:currentColor;vertical-align:-1px}
.tools label:has(input:not([hidden])){cursor:pointer}
.box{display:flex;align-items:center;gap:8px;flex:1 1 220px;max-width:380px}
.box input{flex:1;min-width:0}
.box input,.tools button{font:inherit;color:inherit;background:var(--wash);
border:1px solid var(--ref);border-radius:6px;padding:4px 10px;min-height:36px}
.tools button{margin-left:auto;cursor:pointer}
.tools button[aria-pressed=true]{background:var(--ink);color:var(--paper)}
#shown{color:var(--soft);font-size:.875rem}
.chip{display:inline-block;white-space:nowrap;border:1px solid;border-radius:999px;
padding:1px 10px;font-size:.85rem;font-weight:600}
.chip.drift{color:var(--drift);background:var(--driftwash)}
.chip.warn{color:var(--warn);background:var(--warnwash)}
.chip.ok{color:var(--ok);background:var(--okwash)}
.chip.insufficient{color:var(--few);background:var(--fewwash)}
table{border-collapse:collapse;width:100%;font-size:.875rem;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--soft);font-weight:600;font-size:.85rem;padding:0 0 4px}
th,td{text-align:left;padding:5px 8px;border-bottom:1px solid var(--line);vertical-align:middle}
th{font-weight:500}
thead th{color:var(--soft);font-weight:600;font-size:.8rem}
th:first-child,td:first-child{padding-left:0}
th:last-child,td:last-child{padding-right:0}
.n{text-align:right;white-space:nowrap}
.scroll{overflow-x:auto}
.overview th[scope=row]{overflow-wrap:anywhere;min-width:16ch}
.overview small{display:none;color:var(--soft)}
.spark{width:17%;min-width:90px}
.shape{width:15%;min-width:80px}
.ranges{display:block}
.span.reference{fill:var(--ref)}
.span.current{fill:var(--now)}
.middle{stroke:var(--ink);stroke-width:2}
.kind{font-weight:400;color:var(--soft);font-size:.8rem}
.feature{border:1px solid var(--line);border-radius:10px;padding:14px 16px;margin:14px 0}
details.feature{padding:8px 16px}
summary{cursor:pointer}
details.feature>div{scroll-margin-top:56px}
.note{color:var(--soft);border-left:3px solid var(--line);padding-left:10px}
.columns{display:grid;grid-template-columns:minmax(0,3fr) minmax(0,2fr);gap:12px 32px;
margin:12px 0 20px}
.columns table{margin-bottom:16px}
.bins{table-layout:fixed}
.bins th,.bins td{padding-top:3px;padding-bottom:3px}
.bins th:first-child{width:34%;overflow-wrap:anywhere}
.bins .n{width:62px}
.bins .special th{font-style:italic}
.bars span{display:block}
.fill{height:8px;min-width:0}
.fill.reference,.key.reference{background:repeating-linear-gradient(135deg,var(--ref) 0 2px,
transparent 2px 5px);border:1px solid var(--ref)}
.fill.current,.key.current{background:var(--now)}
.fill[style="width:0.0%"]{border:0}
.key{display:inline-block;width:22px;height:10px;vertical-align:baseline}
.trend{display:block}
.bar{fill:var(--ref)}
.bar.warn{fill:var(--warn)}
.bar.drift{fill:var(--drift)}
.bar.insufficient{fill:none;stroke:var(--few)}
.mark{fill:var(--ink);font-size:10px;font-weight:700}
.threshold{stroke:var(--ink);stroke-width:1;stroke-dasharray:4 3}
.ends{display:flex;justify-content:space-between;font-size:.75rem;color:var(--soft);
margin:2px 0 16px;max-width:none;gap:8px}
@media(min-width:701px){html{scroll-padding-top:64px}
.tools{position:sticky;top:0;z-index:1}}
@media(max-width:700px){.box input{font-size:16px}.columns{grid-template-columns:minmax(0,1fr)}
.feature{padding:12px}.overview{font-size:.8rem}.overview .chip{padding:0 7px;font-size:.75rem}
.overview th[scope=row]{min-width:11ch}.overview small{display:block}
.overview .spark,.overview .shape,.overview thead th:nth-child(7){display:none}
.measures{font-size:.8rem}.measures th:nth-child(3),.measures td:nth-child(3),
.measures thead th:nth-child(6),.measures td:nth-child(6){display:none}
h1{font-size:1.3rem}th,td{padding:5px 6px}
.overview thead th:nth-child(3),.overview td:nth-child(3):not([colspan]){display:none}
.overview thead th:nth-child(6),.overview td.n:nth-child(6){display:none}}
@media print{details.feature>*{display:block}.feature{break-inside:avoid}
.fill,.key,.chip,.bar,.span{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""
STYLE = _THEMES + _RULES
