"""Style of all pages: light and dark, wide and narrow, print. Nothing is loaded.

A page's sheet is made of these parts, in their order, with its own between them.
"""

from __future__ import annotations

from typing import Final

COLOURS: Final = """
:root{color-scheme:light dark;--back:#fcfcfb;--ink:#1c1f22;--dim:#585e65;--rule:#dadde0;
--soft:#f3f4f4;--track:#e3e6e8;--link:#1f5a9e;--ran:#2f6db5;--kept:#8f9aa6;
--pass:#14663a;--pass-back:#e4f2e9;--skip:#754c00;--skip-back:#faf0da;
--fail:#a01217;--fail-back:#fae6e6;
--p1:#2f6db5;--p2:#3d8f7a;--p3:#b7791f;--p4:#7d64b0;--p5:#a9b0b7}
@media (prefers-color-scheme:dark){:root{--back:#14171a;--ink:#e5e7e9;--dim:#a3abb3;--rule:#333a41;
--soft:#1b2024;--track:#2b3238;--link:#8ab8f2;--ran:#6fa5e6;--kept:#6d7883;
--pass:#85d3a5;--pass-back:#15301f;--skip:#e8c173;--skip-back:#33280f;
--fail:#ff9f99;--fail-back:#3c191a;
--p1:#6fa5e6;--p2:#6cc0aa;--p3:#dba552;--p4:#ab95dc;--p5:#5b656f}}
"""

TEXT: Final = """
*{box-sizing:border-box}
html{font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
-webkit-text-size-adjust:100%;text-size-adjust:100%;scroll-padding-top:1rem}
body{margin:0 auto;padding:0 1rem 3rem;max-width:64rem;background:var(--back);color:var(--ink);
overflow-wrap:anywhere}
h1{font-size:1.05rem;font-weight:600;margin:0;letter-spacing:.01em}
h2{font-size:1.45rem;font-weight:600;line-height:1.25;margin:0 0 .8rem;letter-spacing:-.01em}
h3{font-size:1rem;font-weight:600;line-height:1.35;margin:2rem 0 .6rem}
p{margin:.5rem 0;max-width:46rem}
a{color:var(--link);text-underline-offset:.15em}
code,pre{font:.8125rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
pre{margin:.5rem 0;padding:.6rem .75rem;background:var(--soft);border-radius:4px;
white-space:pre-wrap}
ul{margin:.5rem 0;padding-left:1.2rem}
.dim{color:var(--dim);font-size:.8125rem;font-weight:400}
.dim code{font-size:.75rem}
header{padding:1.25rem 0 .75rem;border-bottom:1px solid var(--rule);display:flex;flex-wrap:wrap;
gap:.15rem 1rem;align-items:baseline}
header p{margin:0;color:var(--dim);font-size:.875rem}
nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:.1rem 1rem;margin:0;padding:.6rem 0}
nav a{display:inline-block;padding:.25rem 0;font-size:.875rem;text-decoration:none;
color:var(--dim)}
nav a:hover{color:var(--link);text-decoration:underline}
section{padding:2.25rem 0;border-bottom:1px solid var(--rule)}
section:first-child{padding-top:1.25rem}
footer{color:var(--dim);font-size:.875rem}
:focus-visible{outline:3px solid var(--link);outline-offset:2px;border-radius:2px}
.to-verdict{position:absolute;left:.5rem;top:-5rem;padding:.5rem .75rem;background:var(--ink);
color:var(--back);z-index:1}
.to-verdict:focus{top:.5rem}
"""

PIECES: Final = """
.mark{display:inline-block;font-size:.75rem;font-weight:650;line-height:1.25rem;
padding:0 .45rem;border-radius:3px;white-space:nowrap;letter-spacing:.02em}
.mark.pass{color:var(--pass);background:var(--pass-back)}
.mark.skip{color:var(--skip);background:var(--skip-back)}
.mark.fail{color:var(--fail);background:var(--fail-back)}
.hero{padding:1rem 1.25rem;border-left:4px solid;margin:0 0 1rem;background:var(--soft)}
.hero.pass{border-color:var(--pass)}.hero.skip{border-color:var(--skip)}
.hero.fail{border-color:var(--fail)}
.hero p{margin:0}
.verdict .mark{font-size:1.5rem;line-height:1.3;padding:0;background:none}
.hero .meaning{font-size:1.0625rem;margin:.15rem 0 .35rem}
.counts{color:var(--dim);font-size:.875rem}
.notice{padding:.6rem .75rem;background:var(--fail-back);border-radius:4px}
.notice .mark{background:none;padding:0}
.attention{list-style:none;padding:0;margin:1rem 0}
.attention li{padding:.6rem 0;border-top:1px solid var(--rule)}
.attention li:last-child{border-bottom:1px solid var(--rule)}
.reason{margin-top:.25rem;max-width:56rem}
.also{margin:1rem 0}
.families{list-style:none;padding:0;display:grid;grid-template-columns:repeat(auto-fill,
minmax(min(100%,26rem),1fr));gap:0 2rem}
.families li{padding:.45rem 0;border-top:1px solid var(--rule)}
.families .what{display:block;font-size:.9375rem}
.families .subjects{display:block;color:var(--dim);font-size:.8125rem}
.facts{margin:.25rem 0}
.facts>div{display:grid;grid-template-columns:9.5rem 1fr;gap:.1rem 1rem;padding:.35rem 0}
.facts dt{color:var(--dim);font-size:.875rem}
.facts dd{margin:0;min-width:0}
td .facts{margin:0}
td .facts>div{grid-template-columns:4.25rem 1fr;gap:0 .5rem;padding:0}
td .facts dt{font-size:.75rem;line-height:1.25rem}
td .facts code{font-size:.75rem}
.inline{list-style:none;padding:0;display:flex;flex-wrap:wrap;gap:.1rem .9rem;margin:.2rem 0;
font-size:.8125rem;font-weight:400;color:var(--dim)}
.plain{list-style:none;padding:0}
.card{padding:.75rem 1rem;margin:.75rem 0;background:var(--soft);border-left:4px solid var(--fail)}
.card pre{background:var(--back)}.card .facts{font-size:.875rem}
.meters{list-style:none;padding:0;max-width:30rem}
.meters li{margin:.6rem 0;font-size:.875rem}
.meter{display:block;width:100%;margin-top:.2rem}
details{margin:.6rem 0}
td details,th details{margin:0}
summary{cursor:pointer;color:var(--link);font-size:.875rem;padding:.2rem 0}
details.long{margin:0}
details.long summary{color:inherit;font-size:inherit;padding:0}
details.long summary span{color:var(--link);text-decoration:underline;margin-left:.4rem;
white-space:nowrap}
details.long[open] summary bdi{display:none}
details.long[open] summary span{margin:0}
details.long p{margin:.25rem 0;max-width:none}
details.code{font:.8125rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
"""

TABLES: Final = """
table{border-collapse:collapse;width:100%;margin:.75rem 0;font-size:.875rem;table-layout:fixed}
caption{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
th,td{text-align:left;vertical-align:top;padding:.55rem .75rem .55rem 0;
border-top:1px solid var(--rule)}
thead th{border-top:0;color:var(--dim);font-weight:600;font-size:.8125rem}
tbody th{font-weight:500}
tbody tr:last-child>*{border-bottom:1px solid var(--rule)}
"""

PICTURES: Final = """
svg{display:block;max-width:100%}
svg text{fill:var(--ink);font:12px system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif}
"""

_NARROW = """
section{padding:1.75rem 0}h2{font-size:1.3rem}
.facts>div{grid-template-columns:1fr}
table,tbody,tr,th,td{display:block;width:auto}
thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
tbody tr{padding:.7rem 0;border-top:1px solid var(--rule)}
tbody tr:last-child{border-bottom:1px solid var(--rule)}
tbody tr>*,tbody tr:last-child>*{border:0;padding:.1rem 0}
td[data-label]::before{content:attr(data-label);display:block;
color:var(--dim);font-size:.75rem;margin-top:.25rem}
"""

_PAPER = """
@page{margin:14mm}
@media print{
:root{--back:#fff;--ink:#000;--dim:#444;--rule:#bbb;--soft:#f6f6f6;--track:#ddd;--link:#000;
--ran:#2f6db5;--kept:#8f9aa6;--pass:#14663a;--pass-back:#fff;--skip:#754c00;--skip-back:#fff;
--fail:#a01217;--fail-back:#fff;--p1:#2f6db5;--p2:#3d8f7a;--p3:#b7791f;--p4:#7d64b0;--p5:#a9b0b7}
html{font-size:12px}
"""

_ON_PAPER = """
svg{break-inside:avoid}.time{break-inside:auto}
body{max-width:none;padding:0}
nav,.to-verdict{display:none}
section{break-before:auto;padding:1rem 0}
h2,h3{break-after:avoid}
tr,.card{break-inside:avoid}
details::details-content{content-visibility:visible;display:block}
svg rect,.mark,.key{print-color-adjust:exact;-webkit-print-color-adjust:exact}
}
"""


def narrow(own: str) -> str:
    """Style for narrow screens, where tables become cards. `own`: a page's own rules for them."""
    return f"@media (max-width:47.99rem){{{_NARROW}{own}}}"


def paper(own: str) -> str:
    """Style for paper, where nothing stays folded. `own`: a page's own rules for that."""
    return f"{_PAPER}{own}{_ON_PAPER}"


def sheet(*parts: str) -> str:
    """A style sheet of its parts, without line feeds."""
    return "".join(part.replace("\n", "") for part in parts)
