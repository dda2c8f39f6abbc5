"""The frame that every page shares: style, headings, tables and figures. All text that is given is escaped."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from html import escape

DASH = "\N{EN DASH}"
TIMES = "\N{MULTIPLICATION SIGN}"

PALETTE = """
:root { color-scheme: light dark; --paper: #fdfdfc; --ink: #1d2125; --quiet: #68707a; --line: #e3e4e1; --wash: #f4f4f1;
  --accent: #1f6f78; --second: #b4793a; --third: #8a8f98; --good: #2f7d4f; --bad: #b3423a;
  --v0: #1f6f9a; --v1: #5b6fae; --v2: #8e68a6; --v3: #c0628a; --v4: #d0604a; --vn: #cfd1d3; }
@media (prefers-color-scheme: dark) { :root { --paper: #15181b; --ink: #e4e6e8; --quiet: #98a1ab; --line: #2b3036;
  --wash: #1c2024; --accent: #5cb8c0; --second: #d9a066; --third: #7d848d; --good: #6fbf8e; --bad: #e08078;
  --v0: #4fa8d8; --v1: #7d93d6; --v2: #a98bcb; --v3: #d886ab; --v4: #ef8a70; --vn: #454b52; } }
"""

CHART_STYLE = """
svg text { font: 11px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: var(--quiet); }
svg .axis { stroke: var(--line); } svg .guide { stroke: var(--third); stroke-dasharray: 3 4; }
svg .s0 { stroke: var(--accent); } svg .s1 { stroke: var(--second); } svg .s2 { stroke: var(--third); }
svg .line { fill: none; stroke-width: 1.8; stroke-linejoin: round; } svg .dot { stroke: var(--paper); }
svg .dot.s0 { fill: var(--accent); } svg .dot.s1 { fill: var(--second); } svg .dot.s2 { fill: var(--third); }
svg text.s0 { fill: var(--accent); stroke: none; } svg text.s1 { fill: var(--second); stroke: none; }
svg text.s2 { fill: var(--third); stroke: none; } svg text.name { font-size: 12.5px; fill: var(--ink); }
svg .bars { fill: var(--accent); opacity: .62; } svg .apart { fill: var(--third); opacity: .55; }
svg .swarm { fill: none; stroke-width: 2.9; stroke-linecap: round; opacity: .85; }
svg .v0 { stroke: var(--v0); } svg .v1 { stroke: var(--v1); } svg .v2 { stroke: var(--v2); }
svg .v3 { stroke: var(--v3); } svg .v4 { stroke: var(--v4); } svg .vn { stroke: var(--vn); }
svg text.small { font-size: 10px; } svg .hollow { fill: var(--paper); stroke: var(--third); stroke-width: 1.4; }
svg .then { fill: none; stroke: var(--second); stroke-width: 1.6; stroke-linejoin: round; }
"""

_STYLE = """
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.55 system-ui, -apple-system, "Segoe UI",
  Roboto, "Helvetica Neue", sans-serif; font-variant-numeric: tabular-nums; }
main { max-width: 61rem; margin: 0 auto; padding: 3.2rem 2rem 4rem; }
.kicker { color: var(--quiet); font-size: .8rem; letter-spacing: .06em; text-transform: uppercase; margin: 0 0 .9rem; }
h1 { font: 400 1.9rem/1.28 Charter, "Iowan Old Style", "Source Serif 4", Georgia, serif; margin: 0 0 .7rem;
  max-width: 44rem; text-wrap: balance; }
h2 { font-size: 1rem; font-weight: 650; margin: 2.9rem 0 .3rem; }
h3 { font-size: .9rem; font-weight: 600; margin: 1.6rem 0 .4rem; }
p { max-width: 44rem; margin: .3rem 0 .9rem; } .note { color: var(--quiet); font-size: .86rem; }
dl { display: flex; flex-wrap: wrap; gap: .9rem 2.4rem; margin: 1.5rem 0 0; padding: 1.1rem 0;
  border: solid var(--line); border-width: 1px 0; }
dt { color: var(--quiet); font-size: .78rem; } dd { margin: 0; font-size: 1rem; font-weight: 550; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; margin: .5rem 0 0; }
th { color: var(--quiet); font-weight: 500; font-size: .78rem; text-align: right; padding: .35rem .9rem .35rem 0;
  border-bottom: 1px solid var(--line); vertical-align: bottom; white-space: nowrap; }
td { text-align: right; padding: .36rem .9rem .36rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th:last-child, td:last-child { padding-right: 0; } th.text, td.text { text-align: left; }
tr.group td { border-bottom: none; padding-top: 1.1rem; font-weight: 650; text-align: left; }
tr.group span { font-weight: 400; color: var(--quiet); margin-left: .6rem; }
.best { font-weight: 650; }
.interval { display: block; color: var(--quiet); font-size: .74rem; line-height: 1.2;
  white-space: nowrap; font-weight: 400; }
.good { color: var(--good); font-weight: 600; }
.yes { color: var(--bad); font-weight: 600; }
.no { color: var(--quiet); } .whole { white-space: nowrap; }
.bar { display: inline-block; width: 9rem; height: .55rem;
  background: var(--wash);
  border-radius: 2px; overflow: hidden; }
.bar i { display: block; height: 100%; background: var(--third); border-radius: 2px; }
.bar.on i { background: var(--accent); }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(12.2rem, 1fr)); gap: 1rem 1.4rem; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(22rem, 1fr)); gap: 0 3rem; }
figure { margin: 0; } figcaption { font-size: .8rem; color: var(--quiet); margin-bottom: .2rem; }
svg { width: 100%; height: auto; }
.dense table { font-size: .84rem; } .dense td { padding-right: .8rem; white-space: nowrap; }
.dense td .quiet { font-size: .76rem; } .dense svg { width: 130px; display: block; margin-top: .15rem; }
.dense .bar { width: 2.6rem; margin-right: .5rem; }
.dense td.text:first-child { width: 40%; overflow-wrap: anywhere; white-space: normal; line-height: 1.35; }
.quiet { color: var(--quiet); } .dense a, .card a, li a { color: inherit; text-decoration-color: var(--third);
  text-underline-offset: 3px; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(24rem, 1fr)); gap: 2.6rem 3rem;
  margin-top: 1.2rem; }
.card { break-inside: avoid; min-width: 0; } .card h3 { margin: 0; overflow-wrap: anywhere; }
.card p { margin: .1rem 0 .6rem; font-size: .84rem; line-height: 1.45; } .card figure { margin-top: .7rem; }
.card table { font-size: .8rem; } .card td, .card th { padding-top: .2rem; padding-bottom: .2rem; }
.card:target { outline: 2px solid var(--line); outline-offset: 12px; }
.key { display: inline-block; width: .8rem; height: .65rem; margin: 0 .3rem 0 0; background: var(--accent);
  opacity: .62; } .key.before { background: none; border-top: 2px solid var(--second); height: .3rem; opacity: 1;
  margin-left: .9rem; }
.lists { max-width: 47rem; } .beside { color: var(--quiet); font-size: .76rem; display: inline-block;
  min-width: 6.2rem; } details td { white-space: nowrap; } details td, details th { padding-right: .7rem; }
.close td, .close th { padding-right: .55rem; font-size: .8rem; } .close th { font-size: .73rem; }
.whisker svg { width: 150px; height: 18px; display: block; margin-left: auto; }
details { border-top: 1px solid var(--line); padding: .7rem 0; }
details:last-of-type { border-bottom: 1px solid var(--line); }
summary { cursor: pointer; font-size: .9rem; max-width: 54rem; } summary b { margin-right: .5rem; font-weight: 650; }
.trio { display: grid; grid-template-columns: repeat(auto-fit, minmax(16rem, 1fr)); gap: 1.6rem 2.4rem;
  margin-top: 1rem; }
article { border-top: 2px solid var(--accent); padding-top: .7rem; min-width: 0; } article p { font-size: .86rem; }
article h3 { margin: .1rem 0 .5rem; font: 400 1.1rem/1.3 Charter, "Iowan Old Style", "Source Serif 4", Georgia, serif;
  overflow-wrap: anywhere; } article h3 code { font-size: .72rem; color: var(--quiet); }
article .kind { color: var(--quiet); font-size: .78rem; margin: 0; }
article dl { display: grid; grid-template-columns: 1fr 1fr; gap: .35rem 1.3rem;
  margin: .5rem 0 .7rem; padding: .5rem 0; } article dt { font-size: .72rem; }
article dd { font-size: .86rem; white-space: nowrap; }
article ol { list-style: none; padding: 0; margin: .6rem 0; font-size: .84rem; }
article li { padding: .4rem 0 .4rem .8rem; border-left: 3px solid var(--accent); margin: .35rem 0; line-height: 1.4; }
article li.down { border-color: var(--second); }
article li span { display: block; color: var(--quiet); font-size: .78rem; }
.state { display: inline-block; white-space: nowrap; font-size: .8rem; font-weight: 600; padding: 0 .5rem 0 .4rem;
  border: 1px solid var(--tone); border-left-width: 4px; border-radius: 3px; --tone: var(--line); }
.state i { font-style: normal; color: var(--tone); margin-right: .15rem; }
.state.blocks, .state.fires, .state.rolls-back { --tone: var(--bad); } .state.fires { background: var(--wash); }
.state.warns, .state.moved { --tone: var(--second); } .state.held-back { --tone: var(--v2); border-style: double;
  border-width: 3px 3px 3px 4px; } .state.fine { --tone: var(--good); }
.state.cannot-tell { --tone: var(--ink); border-style: dashed; border-left-style: solid; }
.state.not-tested, .state.quiet { --tone: var(--third); color: var(--quiet); font-weight: 400; }
.next { border-left: 4px solid var(--accent); padding: .1rem 0 .1rem .9rem; margin: 1.1rem 0; }
.next .state { margin-right: .4rem; } .next code { white-space: nowrap; }
td.text { max-width: 40rem; } td .quiet { font-size: .8rem; }
.long svg { min-width: 40rem; } .drop svg { width: 260px; height: 22px; display: block; }
.cards.small { gap: 1.6rem 2.2rem; grid-template-columns: repeat(auto-fill, minmax(16rem, 1fr)); }
.cards.small .card { display: flex; flex-direction: column; }
.cards.small svg { margin-top: auto; } .cards.small h3 { margin-bottom: .2rem; }
ul { padding-left: 1.1rem; margin: .4rem 0; } li { margin: .2rem 0; } code { font-size: .86em; }
footer { margin-top: 3.4rem; color: var(--quiet); font-size: .8rem; border-top: 1px solid var(--line);
  padding-top: .9rem; }
"""


def page(title: str, kicker: str, headline: str, body: Iterable[str], footer: str = "") -> str:
    """A whole HTML document. `body` is HTML; everything else is text."""
    foot = f"<footer>{escape(footer)}</footer>" if footer else ""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{PALETTE}{CHART_STYLE}{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<p class="kicker">{escape(kicker)}</p>\n<h1>{escape(headline)}</h1>\n'
        + "\n".join(part for part in body if part)
        + f"\n{foot}\n</main>\n</body>\n</html>\n"
    )


def section(title: str, note: str, *parts: str) -> str:
    """A heading, a sentence on how to read what follows, and what follows (HTML). Nothing at all when that is empty."""
    content = "\n".join(part for part in parts if part)
    explained = f'<p class="note">{escape(note)}</p>' if note else ""
    return f"<section><h2>{escape(title)}</h2>{explained}{content}</section>" if content else ""


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """Labels with what they stand for, side by side."""
    shown = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(text(value))}</dd></div>" for name, value in pairs)
    return f"<dl>{shown}</dl>" if shown else ""


def table(columns: Sequence[str], rows: Iterable[str], texts: int = 1) -> str:
    """A table of rows made by `row`; the first `texts` columns are words (left), the others numbers (right)."""
    heads = "".join(f"<th{_text_class(index < texts)}>{escape(name)}</th>" for index, name in enumerate(columns))
    return f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def row(cells: Iterable[str], texts: int = 1) -> str:
    """One line of a table; cells are HTML."""
    tds = "".join(f"<td{_text_class(index < texts)}>{content}</td>" for index, content in enumerate(cells))
    return f"<tr>{tds}</tr>"


def group_row(name: str, note: str, width: int) -> str:
    """A line across the table that names the lines below it."""
    return f'<tr class="group"><td colspan="{width}">{escape(name)}<span>{escape(note)}</span></td></tr>'


def bar(share: float, *, on: bool = False) -> str:
    """A horizontal bar; `share` of its width is filled, between 0 and 1."""
    filled = 100 * min(max(share, 0.0), 1.0) if math.isfinite(share) else 0.0
    return f'<span class="bar{" on" if on else ""}"><i style="width:{filled:.1f}%"></i></span>'


def badge(kind: str, word: str = "") -> str:
    """What something came to as a word with a mark and a colour: who sees no colours has the mark, who hears the word.

    `kind` is a key of `_MARKS`; the word is the same where none is given.
    """
    mark = f'<i aria-hidden="true">{_MARKS[kind]}</i>'
    return f'<span class="state {kind.replace(" ", "-")}">{mark} {escape(word or kind)}</span>'


_MARKS = {
    "blocks": "\N{BLACK SQUARE}",
    "rolls back": "\N{BLACK LEFT-POINTING TRIANGLE}",
    "fires": "\N{BLACK CIRCLE}",
    "held back": "\N{CIRCLE WITH LEFT HALF BLACK}",
    "warns": "\N{BLACK UP-POINTING TRIANGLE}",
    "moved": "\N{BLACK RIGHT-POINTING TRIANGLE}",
    "cannot tell": "?",
    "not tested": "\N{WHITE CIRCLE}",
    "quiet": "\N{MIDDLE DOT}",
    "fine": "\N{CHECK MARK}",
}


def details(summary: str, content: str) -> str:
    """What is folded away below a line of text; nothing where there is nothing to fold. `content` is HTML."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>" if content else ""


def prose(text: str) -> str:
    """As HTML, names in backticks as code."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(text))


def percent(share: float | None) -> str:
    """A share as a person says it, and never 0 or 100 where it is not that; a dash where there is none."""
    if share is None or not math.isfinite(share):
        return DASH
    if share in {0.0, 1.0}:
        return f"{100 * share:.0f} %"
    return f"{min(max(100 * share, 0.1), 99.9):.1f} %"


def bullets(lines: Iterable[str]) -> str:
    """A list of sentences."""
    shown = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<ul>{shown}</ul>" if shown else ""


def number(value: object, digits: int = 3) -> str:
    """A number with a fixed count of digits, a dash where there is none."""
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return DASH
    return f"{value:.{digits}f}"


def probability(value: float | None) -> str:
    """A p-value: no test by resampling people knows the digits beyond the fourth."""
    if value is not None and 0 <= value < 0.0001:
        return "< 0.0001"
    return number(value, 4)


def text(value: object) -> str:
    """What a person would write: thousands apart, no needless digits, a dash for nothing."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u202f")
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _text_class(is_text: bool) -> str:
    return ' class="text"' if is_text else ""
