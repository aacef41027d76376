"""The page that a report stands on: one file, readable on a phone, on paper and in the dark."""

from __future__ import annotations

import html
from collections.abc import Sequence
from string import Template

from acne_runtime.disclaimer import NO_DIAGNOSIS
from acne_trainer.reports.html import Html, joined

# Colours of the series are Okabe and Ito's, told apart by colour-blind people too, lighter on dark ground.
_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root {
  color-scheme: light dark;
  --ink: #1c2126; --soft: #56606a; --rule: #d3d9df; --paper: #ffffff; --card: #f3f5f7;
  --c0: #0072b2; --c1: #d55e00; --c2: #008060; --c3: #a3528f; --c4: #8a6d00; --c5: #3f8fc4; --c6: #5b6570;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e6e9ec; --soft: #a3adb7; --rule: #3a424a; --paper: #14181c; --card: #1f252b;
    --c0: #58b4e9; --c1: #ff8a3d; --c2: #35c79b; --c3: #df92cd; --c4: #e3c437; --c5: #9fc9ea; --c6: #b4bcc4;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 62rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere;
}
h1 { font-size: 1.6rem; margin: .5rem 0 0; line-height: 1.2; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .5rem; border-bottom: 1px solid var(--rule); }
p { margin: .5rem 0; max-width: 46rem; }
.soft, figcaption, caption { color: var(--soft); font-size: .9rem; }
.note { background: var(--card); border-left: 4px solid var(--c1); padding: .5rem .8rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: .8rem; margin: 1rem 0; }
.card { background: var(--card); border: 1px solid var(--rule); border-radius: .5rem; padding: .7rem .9rem; }
.card b { display: block; font-size: 1.7rem; line-height: 1.3; }
.card span { display: block; color: var(--soft); font-size: .85rem; }
.wide { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
caption { text-align: left; padding-bottom: .3rem; }
th, td { padding: .25rem .7rem .25rem 0; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--rule); }
th:first-child { text-align: left; font-weight: 500; white-space: normal; min-width: 8rem; }
thead th { color: var(--soft); font-weight: 500; vertical-align: bottom; }
td.shade { padding-left: .7rem; background: color-mix(in srgb, var(--c0) calc(var(--share) * 60%), transparent); }
figure { margin: 1rem 0; max-width: 36rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 0 1.2rem; }
.photos { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 18rem), 1fr)); gap: .8rem; }
svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--soft); font: 14px system-ui, sans-serif; }
.grid { stroke: var(--rule); } .rule { stroke: var(--soft); stroke-dasharray: 5 4; }
.line { fill: none; stroke: var(--c); stroke-width: 2.2; stroke-linejoin: round; }
.dot { fill: var(--c); fill-opacity: .65; }
.gt, .predicted { fill: none; stroke-width: 2; vector-effect: non-scaling-stroke; }
.gt { stroke: #1e6bff; } .predicted { stroke: #ffd800; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; margin: .3rem 0; padding: 0; }
.legend li { font-size: .9rem; }
.legend li::before { content: ""; display: inline-block; width: .8em; height: .8em; border-radius: .2em;
  margin-right: .4em; background: var(--c); print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.c0 { --c: var(--c0); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); } .c3 { --c: var(--c3); }
.c4 { --c: var(--c4); } .c5 { --c: var(--c5); } .c6 { --c: var(--c6); }
.on-gt { --c: #1e6bff; } .on-predicted { --c: #ffd800; }
@media print {
  :root {
    color-scheme: light;
    --ink: #000000; --soft: #444444; --rule: #bbbbbb; --paper: #ffffff; --card: #ffffff;
    --c0: #0072b2; --c1: #d55e00; --c2: #008060; --c3: #a3528f; --c4: #8a6d00; --c5: #3f8fc4; --c6: #5b6570;
  }
  body { max-width: none; padding: 0; font-size: 10pt; }
  figure, tr, .card { break-inside: avoid; }
  h2 { break-after: avoid; }
  .wide { overflow: visible; }
  table { font-size: 8pt; }
  th, td { white-space: normal; }
  .charts { grid-template-columns: 1fr 1fr; }
}
</style>
</head>
<body>
$body
<p class="soft">$no_diagnosis</p>
</body>
</html>
""")


def page(title: str, parts: Sequence[Html]) -> str:
    """Returns the whole page, which loads nothing from anywhere."""
    return _PAGE.substitute(title=html.escape(title), body=joined(parts), no_diagnosis=html.escape(NO_DIAGNOSIS))
