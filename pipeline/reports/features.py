"""The page about one night's features: what each is, who has it, how it is spread, how far it moved, who reads it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from pipeline.reports import charts
from pipeline.reports import page as paper
from pipeline.reports.charts import Histogram

MOVED = 0.1
"""A stability index from which on a feature is named in the summary: "some" in the customary reading."""

_MOVERS_SHOWN = 6
_QUANTILES = ("5 %", "Median", "95 %")
_NAMED = 12


@dataclass(frozen=True)
class Values:
    """The values of a feature on one night: how many rows there are, the share that has one, and three quantiles."""

    rows: int
    coverage: float
    low: float
    median: float
    high: float
    """The 5th and the 95th percentile; NaN where nobody has a value."""

    @property
    def quantiles(self) -> tuple[float, float, float]:
        """In their order."""
        return self.low, self.median, self.high


@dataclass(frozen=True)
class FeatureRow:
    """One feature. `now` is None for what is not kept in a table: pairs of people and contents, the place in a list.

    `importance` is the share of the champion's gain by goal. `grows`: it looks further back than the reference night's
    log went, so it moves with the log whatever people do.
    """

    name: str
    group: str
    unit: str
    meaning: str
    measured: str = ""
    memory: str = ""
    modelled: bool = True
    now: Values | None = None
    before: Values | None = None
    constant: bool = False
    psi: float | None = None
    chance: float | None = None
    """The index that as many rows give by chance alone, if nothing moved and they were not the same people."""
    grows: bool = False
    picture: Histogram | None = None
    tenths: Histogram | None = None
    """Both nights by the bins of the index."""
    importance: Mapping[str, float] = field(default_factory=dict)

    @property
    def gain(self) -> float:
        """The mean over goals."""
        return math.fsum(self.importance.values()) / len(self.importance) if self.importance else 0.0

    @property
    def moved(self) -> bool:
        """Whether the index is worth a word: large, and more than chance and a growing log make it."""
        return not self.grows and self.psi is not None and self.psi >= max(MOVED, 2 * (self.chance or 0.0))


@dataclass(frozen=True)
class FeaturePage:
    """All that the page says. `reference` says in words which night is compared with, and why that one.

    `missing` are sentences about what the night was built without; `champion` the version whose gain is shown.
    """

    project: str
    as_of: str
    people: int
    contents: int
    features: Sequence[FeatureRow]
    reference: str | None = None
    people_before: int | None = None
    contents_before: int | None = None
    champion: str | None = None
    missing: Sequence[str] = ()


def features_page(report: FeaturePage) -> str:
    """The whole page as one HTML file; features by importance, then by group."""
    rows = sorted(report.features, key=lambda row: (-row.gain, _GROUPS.get(row.group, 9)))
    body = [
        paper.facts(_facts(report)),
        _summary(rows, report),
        _movers(rows),
        _table(rows, report),
        _cards(rows),
    ]
    kicker = f"{report.project} · features · {report.as_of}"
    return paper.page(f"Features {report.as_of}", kicker, _headline(rows, report), body)


_GROUPS = {"person": 0, "content": 1, "pair": 2, "context": 3}


# ---------------------------------------------------------------- the summary


def _headline(rows: Sequence[FeatureRow], report: FeaturePage) -> str:
    if report.reference is None:
        return f"{len(rows)} features of a night that has none before it to be compared with."
    movers = _by_psi(rows)
    if not movers:
        return f"None of {len(rows)} features moved noticeably."
    return f"{len(movers)} of {len(rows)} features moved noticeably, {movers[0].name} the most."


def _facts(report: FeaturePage) -> Iterator[tuple[str, object]]:
    yield "People", _then(report.people, report.people_before)
    yield "Contents", _then(report.contents, report.contents_before)
    yield "Features", len(report.features)
    yield "Read by models", sum(row.modelled for row in report.features)
    yield "Compared with", report.reference
    yield "Champion", report.champion or "none yet"


def _then(now: int, before: int | None) -> str:
    return paper.text(now) if before is None else f"{paper.text(now)} (then {paper.text(before)})"


def _summary(rows: Sequence[FeatureRow], report: FeaturePage) -> str:
    kept = [row for row in rows if row.now is not None]
    lines = [
        *map(escape, report.missing),
        _named("Nobody has a value of", [row for row in kept if row.now and not row.now.coverage]),
        _named("Everybody has the same value (in brackets) of", [row for row in kept if row.constant], _only_value),
        _named("Fewer have a value than before of", [row for row in kept if _fell(row)]),
        _named(
            "The log was shorter than these look back, so they grow with it, whatever people do:",
            [row for row in kept if row.grows and row.psi is not None],
        ),
    ]
    shown = "".join(f"<li>{line}</li>" for line in lines if line)
    return paper.section("What is missing, and what to keep in mind", "", f"<ul>{shown}</ul>" if shown else "")


def _named(sentence: str, rows: Sequence[FeatureRow], more_of: Callable[[FeatureRow], str] = lambda row: "") -> str:
    if not rows:
        return ""
    names = ", ".join(_link(row) + escape(more_of(row)) for row in rows[:_NAMED])
    more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    return f"{escape(sentence)} {names}{more}."


def _only_value(row: FeatureRow) -> str:
    return f" ({_value(row.now.median)})" if row.now else ""


def _fell(row: FeatureRow) -> bool:
    return bool(row.now and row.before and row.now.coverage < row.before.coverage - 0.05)


def _link(row: FeatureRow) -> str:
    return f'<a href="#{_anchor(row)}">{escape(row.name)}</a>' if row.now else escape(row.name)


def _anchor(row: FeatureRow) -> str:
    return escape(f"{row.group}-{row.name}".replace(" ", "_"))


def _by_psi(rows: Sequence[FeatureRow]) -> list[FeatureRow]:
    return sorted((row for row in rows if row.moved), key=lambda row: (-(row.psi or 0.0), row.name))


def _movers(rows: Sequence[FeatureRow]) -> str:
    movers = _by_psi(rows)
    figures = "".join(
        f'<div class="card"><h3>{_link(row)}</h3>'
        f'<p>{_medians(row)}{_psi_words(row)}. <span class="quiet">{paper.prose(row.meaning)}</span></p>'
        f"{_picture(row)}</div>"
        for row in movers[:_MOVERS_SHOWN]
    )
    note = (
        f"The largest of {len(movers)} stability indices of {MOVED:g} and more, twice what chance makes of so many "
        "rows. How far is not whether: whether a new model is warranted is for the drift check to say."
    )
    return paper.section("Moved most", note, _key(rows), f'<div class="cards">{figures}</div>') if figures else ""


def _medians(row: FeatureRow) -> str:
    if row.now is None or row.before is None:
        return ""
    return f"Median {_value(row.before.median)} then, {_value(row.now.median)} now. "


def _key(rows: Sequence[FeatureRow]) -> str:
    if not any(row.before for row in rows):
        return ""
    return '<p class="note"><span class="key"></span>this night <span class="key before"></span>compared with</p>'


# ---------------------------------------------------------------- all features


def _table(rows: Sequence[FeatureRow], report: FeaturePage) -> str:
    compared = report.reference is not None
    columns = ["Feature", "Distribution", "Has a value", *_QUANTILES]
    columns += [*(["Movement (PSI)"] if compared else []), "Importance (gain)"]
    full = max((row.gain for row in rows), default=0.0) or 1.0
    lines = [_line(row, full, compared=compared) for row in rows]
    note = (
        "By importance in the champion (mean over goals of the share of gain), then by group. Bars for 0 and for none "
        "stand apart, on a scale of their own from 0 to 100 %; the others are scaled to the tallest. Movement without "
        "a bar is of features that look further back than the log went: they grow with it, whatever people do."
    )
    table = f'<div class="dense">{paper.table(columns, lines, texts=2)}</div>'
    return paper.section("All features", note, _key(rows), table)


def _line(row: FeatureRow, full: float, *, compared: bool) -> str:
    marks = "" if row.modelled else " · for analysts only"
    name = (
        f'{_link(row)}<br><span class="quiet">{paper.prose(f"{row.group} · {row.unit}{marks} · {row.meaning}")}</span>'
    )
    drawn = charts.sparkline(row.picture) if row.picture else f'<span class="quiet">{escape(_undrawn(row))}</span>'
    values = row.now if row.now and row.now.coverage else None
    cells = [
        name,
        drawn,
        paper.percent(row.now.coverage) if row.now else paper.DASH,
        *(map(_value, values.quantiles) if values else [paper.DASH] * len(_QUANTILES)),
    ]
    if compared:
        cells.append(_psi_cell(row))
    gain = f"{paper.bar(row.gain / full, on=True)}{100 * row.gain:.1f} %" if row.importance else paper.DASH
    return paper.row([*cells, gain], texts=2)


def _undrawn(row: FeatureRow) -> str:
    if row.now is None:
        return "a value a pair, not kept" if row.group == "pair" else "not kept"
    return "nobody has a value"


def _psi_cell(row: FeatureRow) -> str:
    if row.psi is None:
        return paper.DASH
    if row.grows:
        return f'<span class="quiet" title="it grows with the log">{row.psi:.3f}</span>'
    return f"{paper.bar(row.psi / 0.5, on=row.moved)}{row.psi:.3f}"


def _psi_words(row: FeatureRow) -> str:
    chance = f" (chance alone: about {row.chance:.3f})" if row.chance is not None else ""
    return f"PSI {paper.number(row.psi)}{chance}"


# ---------------------------------------------------------------- one by one


def _cards(rows: Sequence[FeatureRow]) -> str:
    cards = "".join(_card(row) for row in rows if row.now)
    note = "In the same order. The second picture of each has the bins of the stability index, by their upper ends."
    return paper.section("One by one", note, f'<div class="cards">{cards}</div>' if cards else "")


def _card(row: FeatureRow) -> str:
    heading = f'<h3>{escape(row.name)} <span class="quiet">{escape(f"{row.group}, {row.unit}")}</span></h3>'
    sentences = [row.meaning, row.measured, f"looks back: {row.memory}" if row.memory else ""]
    if not row.modelled:
        sentences.append("written for analysts, read by no model")
    told = "".join(f"{paper.prose(text[0].upper() + text[1:])}. " for text in sentences if text)
    parts = [heading, f"<p>{told.strip()}</p>", _picture(row), _quantiles(row), _shift(row), _importance(row)]
    return f'<div class="card" id="{_anchor(row)}">{"".join(parts)}</div>'


def _picture(row: FeatureRow) -> str:
    if row.picture is None:
        return '<p class="quiet">Nobody has a value.</p>'
    return charts.histogram(row.picture)


def _quantiles(row: FeatureRow) -> str:
    nights = [("this night", row.now), ("compared with", row.before)]
    lines = [
        paper.row([label, paper.percent(values.coverage), *map(_value, values.quantiles)])
        for label, values in nights
        if values
    ]
    return paper.table(["", "Has a value", *_QUANTILES], lines)


def _shift(row: FeatureRow) -> str:
    if row.tenths is None:
        return ""
    grows = "; the log was shorter than it looks back, so it grows whatever people do" if row.grows else ""
    return charts.figure(f"{_psi_words(row)}{grows}", charts.histogram(row.tenths, height=92))


def _importance(row: FeatureRow) -> str:
    if not row.importance:
        return ""
    parts = ", ".join(f"{escape(goal)} {100 * share:.1f} %" for goal, share in row.importance.items())
    return f'<p>Share of gain: {parts} <span class="quiet">(mean {100 * row.gain:.1f} %)</span></p>'


def _value(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return paper.DASH
    if 0 < abs(value) < 0.0005:
        return "\N{ALMOST EQUAL TO}\N{THIN SPACE}0"
    return paper.text(round(value)) if abs(value) >= 1000 or value == round(value) else f"{value:.3g}"
