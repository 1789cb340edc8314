"""The style sheet of the report: that of all pages, and its own tables and pictures."""

from __future__ import annotations

from typing import Final

from orchestrator.markup import style

_COLUMNS = """
@media (min-width:48rem){
table.checks th:nth-child(1){width:34%}table.checks th:nth-child(2){width:5.5rem}
table.steps th:nth-child(1){width:27%}table.steps th:nth-child(3){width:24%}
table.variations th:nth-child(1){width:32%}table.variations th:nth-child(2){width:8.5rem}
table.variations th:nth-child(3){width:4.5rem}
table.rules th:nth-child(1){width:40%}table.rules th:nth-child(2){width:8rem}
table.inputs th:nth-child(1){width:42%}
table.sizes th:nth-child(1){width:50%}table.names th:nth-child(1){width:58%}
table.programs th:nth-child(4){width:55%}
table.matrix th:nth-child(1){width:8rem}table.matrix th:nth-child(2){width:26%}
table.matrix th:nth-child(4){width:5.5rem}
table.differences{font-size:.8125rem}table.differences th:nth-child(1){width:38%}
table.differences th:nth-child(2){width:6rem}
}
"""

_PICTURES = """
.chain{margin:1.25rem 0;height:auto}
.chain.wide{width:960px}.chain.narrow{display:none;width:100%;max-width:30rem}
@media (max-width:61.99rem){.chain.wide{display:none}.chain.narrow{display:block}}
.chain .spine{stroke:var(--rule);stroke-width:2}
.chain .dot{fill:var(--back);stroke:var(--dim);stroke-width:2}
.chain .layer{font-weight:600;font-size:12.5px}
.chain .box{fill:var(--soft);stroke:var(--rule)}
.chain .box.fail{fill:var(--fail-back);stroke:var(--fail);stroke-width:1.5}
.chain .label{font-weight:500}
.chain .second{fill:var(--dim);font-size:11px}
.chain .digest{font:11px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.chain .beside{font-size:11px}
.beside.pass{fill:var(--pass)}.beside.skip{fill:var(--skip)}
.beside.fail{fill:var(--fail);font-weight:600}
.time,.map{margin:.75rem 0;overflow:visible}
.time .grid{stroke:var(--rule)}
.time .tick,.time .took,.map .took{fill:var(--dim);font-size:11px}
.time .ran{fill:var(--ran)}.time .kept{fill:var(--kept)}
.track{fill:var(--track)}.filled{fill:var(--ran)}
.map .part{stroke:var(--back);stroke-width:1}
.part-1{fill:var(--p1)}.part-2{fill:var(--p2)}.part-3{fill:var(--p3)}.part-4{fill:var(--p4)}
.part-5{fill:var(--p5)}
.legend{font-size:.875rem;color:var(--dim)}
.key{display:inline-block;width:1.1rem;height:.6rem;border-radius:2px}
.key+.key,.legend .kept{margin-left:.75rem}
.key.ran{background:var(--ran)}.key.kept{background:var(--kept)}
"""

_NARROW = """
td[data-label="Verdict"]::before,td[data-label="Reason"]::before,
td[data-label="State"]::before,
td[data-label="By what means"]::before,
td[data-label="What was found"]::before{display:none}
table.sizes td,table.programs td{display:flex;justify-content:space-between;gap:1rem}
table.sizes td::before,table.programs td::before{margin:0}
td.empty{display:none!important}
table.programs td:last-child{display:block}
"""

_PAPER = """
.chain.wide{display:block;width:100%}.chain.narrow{display:none}
"""

SHEET: Final = style.sheet(
    style.COLOURS,
    style.TEXT,
    style.PIECES,
    style.TABLES,
    _COLUMNS,
    style.PICTURES,
    _PICTURES,
    style.narrow(_NARROW),
    style.paper(_PAPER),
)
