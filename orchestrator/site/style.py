"""The style sheet of the site: that of all pages, and words, calendar and charts."""

from __future__ import annotations

from typing import Final

from orchestrator.history.words import Word
from orchestrator.markup import style

# Letters and ground of each word, in light and in dark; the worst is the other way round.
_LIGHT = {
    Word.NOT_DETERMINISTIC: ("#fff", "#a01217"),
    Word.CHECK_FAILED: ("#a01217", "#fae6e6"),
    Word.BUILD_FAILED: ("#8a3500", "#fdeadd"),
    Word.BOOT_FAILED: ("#8f1457", "#fbe5f0"),
    Word.INFRASTRUCTURE: ("#6b4600", "#f7ecc9"),
    Word.INPUTS_CHANGED: ("#1c5290", "#e1edfa"),
    Word.TOOL_CHANGED: ("#553a8f", "#ece6f7"),
    Word.UNCHANGED: ("#14663a", "#e4f2e9"),
}
_DARK = {
    Word.NOT_DETERMINISTIC: ("#1d0607", "#ff9f99"),
    Word.CHECK_FAILED: ("#ff9f99", "#451c1d"),
    Word.BUILD_FAILED: ("#ffb183", "#40230f"),
    Word.BOOT_FAILED: ("#ff9fcf", "#421a30"),
    Word.INFRASTRUCTURE: ("#e8c173", "#3a2f10"),
    Word.INPUTS_CHANGED: ("#8fbcf5", "#172b42"),
    Word.TOOL_CHANGED: ("#c3aef0", "#2b2340"),
    Word.UNCHANGED: ("#85d3a5", "#15301f"),
}


def _properties(colours: dict[Word, tuple[str, str]]) -> str:
    return "".join(
        f"--{word.value}:{ink};--{word.value}-back:{back};" for word, (ink, back) in colours.items()
    )


_WORDS = (
    f":root{{{_properties(_LIGHT)}}}"
    f"@media (prefers-color-scheme:dark){{:root{{{_properties(_DARK)}}}}}"
    + "".join(
        f".{word.value}{{--on:var(--{word.value});--under:var(--{word.value}-back)}}"
        for word in Word
    )
)

_PIECES = """
.unseen{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);
white-space:nowrap}
h1 a{color:inherit}
header nav ul{padding:0}
header nav a{color:var(--link)}
.mark{color:var(--on);background:var(--under)}
.hero{border-color:var(--on)}
.hero.not-deterministic{border-color:var(--under)}
.hero.not-deterministic .mark{color:var(--under)}
.hero .line{margin:.35rem 0;max-width:56rem}
.card h3{margin:.25rem 0 .5rem}
.notes{padding:.6rem 1rem .6rem 2rem;background:var(--soft);border-radius:4px}
.way{list-style:none;padding:0;margin:.35rem 0;display:flex;flex-wrap:wrap;gap:.1rem 0}
.way li+li::before{content:"\\2192" / "";color:var(--dim);padding:0 .5rem}
"""

_CALENDAR = """
.months{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,18rem),1fr));
gap:1rem 2rem}
.month h3{margin:.5rem 0}
.weekdays,.days{list-style:none;padding:0;margin:0;display:grid;
grid-template-columns:repeat(7,1fr);gap:3px}
.weekdays{color:var(--dim);font-size:.75rem;margin-bottom:3px}
.days li{min-height:2.9rem;background:var(--soft);border-radius:3px;display:flex;flex-wrap:wrap;
align-content:stretch;overflow:hidden}
.days .day{width:100%;font-size:.6875rem;line-height:1rem;padding:0 .25rem;color:var(--dim)}
.days li>span[title]:last-child:not(.sign){font-size:.75rem;padding:0 .25rem}
.from-2{grid-column-start:2}.from-3{grid-column-start:3}.from-4{grid-column-start:4}
.from-5{grid-column-start:5}.from-6{grid-column-start:6}.from-7{grid-column-start:7}
.sign{flex:1 1 1.25rem;min-width:1.25rem;min-height:1.75rem;display:flex;align-items:center;
justify-content:center;font-weight:650;text-decoration:none;position:relative;
color:var(--on);background:var(--under)}
a.sign:hover{text-decoration:underline}
a.sign:focus-visible{outline-offset:-3px;outline-color:currentColor}
.words{list-style:none;padding:0;display:flex;flex-wrap:wrap;gap:.35rem 1.25rem;margin:1rem 0;
align-content:flex-start}
.months .words{margin-top:2rem}
@media (min-width:48rem){.months .words{flex-direction:column;flex-wrap:nowrap}
.month:nth-child(3n)+.words{grid-column:1/-1;flex-flow:row wrap;margin:0}}
.words .sign{display:inline-flex;flex:none;width:1.5rem;min-height:1.5rem;border-radius:3px;
font-size:.8125rem}
"""

_TABLES = """
td.empty::before{content:none}
@media (min-width:48rem){
table.nights th:nth-child(1){width:22%}table.nights th:nth-child(2){width:10.5rem}
table.nights th:nth-child(4){width:6.5rem}
table.latest th:nth-child(1){width:10.5rem}table.latest th:nth-child(2){width:30%}
table.stages th:nth-child(1){width:5rem}table.stages th:nth-child(3){width:6.5rem}
table.stages th:nth-child(4){width:36%}
table.checks th:nth-child(1){width:34%}table.checks th:nth-child(2){width:5.5rem}
table.changed th:nth-child(1){width:24%}
table.machines th:nth-child(2){width:5.5rem}table.machines th:nth-child(3){width:7rem}
table.machines th:nth-child(4){width:45%}
table.steps th:nth-child(1){width:42%}table.sources th:nth-child(1){width:36%}
table.values th:nth-child(1){width:9rem}
}
"""

_CHARTS = """
.charts{list-style:none;padding:0;display:grid;gap:1.25rem 2rem;
grid-template-columns:repeat(auto-fill,minmax(min(100%,18rem),1fr))}
.charts p{margin:0;font-size:.875rem}
.charts .name{color:var(--dim)}
.charts .now{color:var(--dim)}.charts strong{color:var(--ink);font-size:1.0625rem}
.chart{display:flex}
.axis{flex:none}
.trend{flex:1;min-width:0}
.trend,.trend svg{overflow:visible}
.trend .grid{stroke:var(--rule)}
.chart .tick{fill:var(--dim);font-size:11px}
.trend polyline{fill:none;stroke:var(--ran);stroke-width:2;stroke-linecap:round;
stroke-linejoin:round;vector-effect:non-scaling-stroke}
.trend .last{fill:var(--ran)}
"""

_NARROW = """
td.empty{display:none!important}
.charts{grid-template-columns:1fr 1fr;gap:1.25rem 1rem}
table.nights td[data-label="Word"]::before,table.latest td::before,
table.nights td[data-label="What came of it"]::before,
table.stages td[data-label="What came of it"]::before,
td[data-label="Verdict"]::before,td[data-label="Reason"]::before{display:none!important}
table.values td{display:flex;justify-content:space-between;gap:1rem}
table.values td::before{margin:0}
"""

_PAPER = f"""
:root{{{_properties(_LIGHT)}}}
.sign,.mark{{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
.month,.charts li{{break-inside:avoid}}
"""

SHEET: Final = style.sheet(
    style.COLOURS,
    style.TEXT,
    style.PIECES,
    _WORDS,
    _PIECES,
    _CALENDAR,
    style.TABLES,
    _TABLES,
    style.PICTURES,
    _CHARTS,
    style.narrow(_NARROW),
    style.paper(_PAPER),
)
