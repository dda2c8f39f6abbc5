"""The page about one night's decision: what happens and why, at a glance, and below it what each reason looked at."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from typing import Literal, TypedDict, get_args

from models.bursts import Burst
from models.drift import DriftResult
from models.performance import Dip
from pipeline.reports import page as paper
from pipeline.reports.dips import Beside, dips_of
from pipeline.reports.grades import Mark, NightGrade, grades_of
from pipeline.reports.moved import moved_of

State = Literal["blocks", "rolls back", "fires", "held back", "warns", "cannot tell", "not tested", "quiet"]
"""What a reason came to; the first is what one reads first."""


class Arm(TypedDict):
    """One reason to train or to hold back (age, drift, worse grades, missing data): whether it spoke, and on what.

    `fired`: it decides something; `state` says what. `figures` are what it measured, by name (`statistic`, `threshold`,
    `low`, `high`, `n` …).
    """

    name: str
    fired: bool
    state: State
    detail: str
    figures: Mapping[str, float | None]


Outcome = Literal["trains", "stays", "goes back", "held back"]


@dataclass(frozen=True)
class Compared:
    """Which nights one comparison holds against each other; `note` says why it does not, where it does not."""

    what: str
    reference: Sequence[datetime] = ()
    current: Sequence[datetime] = ()
    people: tuple[int, int] | None = None
    note: str = ""


@dataclass(frozen=True)
class Decision:
    """All that the page says. Instants are in the project's time zone.

    `then` is what happens next and what there is to do, commands in backticks. `twice` is what had moved on the night
    before as well, `meanings` say what a feature is. `promised` is the expected AUC by goal, then and now, of which a
    drop by `margin` is allowed.
    """

    project: str
    as_of: datetime
    outcome: Outcome
    verdict: str
    then: str
    arms: Sequence[Arm]
    facts: Sequence[tuple[str, object]] = ()
    faults: Sequence[Burst] = ()
    dips: Sequence[Dip] = ()
    beside: Beside | None = None
    promised: Mapping[str, Sequence[float]] = field(default_factory=dict)
    margin: float = 0.0
    result: DriftResult | None = None
    twice: Collection[str] = ()
    meanings: Mapping[str, str] = field(default_factory=dict)
    method: str = ""
    """How it is told whether something moved, in a sentence."""
    grades: Sequence[NightGrade] = ()
    marks: Sequence[Mark] = ()
    compared: Sequence[Compared] = ()


def decision_page(decision: Decision) -> str:
    """The whole page as one HTML file."""
    as_of = f"{decision.as_of:%Y-%m-%d %H:%M %Z}"
    body = [
        f'<p class="next">{_OUTCOMES[decision.outcome]} {paper.prose(decision.then)}</p>',
        paper.facts(decision.facts),
        _arms(decision.arms),
        _faults(decision.faults),
        dips_of(decision.dips, decision.beside, decision.promised, decision.margin),
        moved_of(decision.result, decision.twice, decision.meanings, decision.method),
        grades_of(decision.grades, decision.marks, decision.as_of),
        _compared(decision.compared),
    ]
    kicker = f"{decision.project} · decision · {as_of}"
    footer = "The same in figures: decision.json beside this page, and the table `decisions` of the lake."
    return paper.page(f"Decision {as_of}", kicker, decision.verdict, body, footer)


_OUTCOMES: Mapping[Outcome, str] = {
    "trains": paper.badge("fires", "trains a challenger"),
    "stays": paper.badge("fine", "champion stays"),
    "goes back": paper.badge("rolls back", "an older model serves again"),
    "held back": paper.badge("blocks", "night held back"),
}


# ---------------------------------------------------------------- the reasons

STATES: tuple[State, ...] = get_args(State)


def _arms(arms: Sequence[Arm]) -> str:
    ordered = sorted(arms, key=lambda arm: STATES.index(arm["state"]))
    rows = [
        paper.row(
            [
                paper.badge(arm["state"]),
                f"<b>{escape(arm['name'].capitalize())}</b>",
                f'{escape(arm["detail"])}<br><span class="quiet">{escape(figures_of(arm))}</span>',
            ],
            texts=3,
        )
        for arm in ordered
    ]
    note = "One that fires is enough, unless another blocks. What warns or cannot tell decides nothing."
    return paper.section("Reasons", note, paper.table(["State", "Reason", "On what"], rows, texts=3) if rows else "")


_MEASURES = {
    "data quality": "missing share up by",
    "performance": "drop",
    "predecessor": "less by",
    "drift": "largest PSI",
    "age": "days",
    "expected performance": "drop in expected AUC",
}
"""What the statistic of an arm is."""


def figures_of(arm: Arm) -> str:
    """What an arm measured, in words; empty where it measured nothing."""
    figures = arm["figures"]
    said = [
        *(f"{words} {paper.text(figures[name])}" for name, words in _words(arm) if name in figures),
        *([f"between {paper.text(figures['low'])} and {paper.text(figures['high'])}"] if "low" in figures else []),
        *([f"adjusted p {paper.probability(figures['p_value'])}"] if "p_value" in figures else []),
        *([_count(arm)] if "n" in figures else []),
    ]
    return " \N{MIDDLE DOT} ".join(said)


_TOLD_TOGETHER = {"low", "high", "p_value", "n", "needed"}


def _words(arm: Arm) -> list[tuple[str, str]]:
    """What each figure is that is told by itself."""
    told = {"statistic": _MEASURES.get(arm["name"], "statistic"), "threshold": "allowed"}
    return [(name, told.get(name, name.replace("_", " "))) for name in arm["figures"] if name not in _TOLD_TOGETHER]


def _count(arm: Arm) -> str:
    figures = arm["figures"]
    counted = paper.text(_whole(figures["n"]))
    if "needed" not in figures:
        return f"{counted} people"
    needed = _whole(figures["needed"])
    if needed is not None:
        return f"{counted} positives, {paper.text(needed)} needed"
    return f"{counted} positives" + (", more reference nights needed" if arm["state"] == "cannot tell" else "")


def _whole(value: float | None) -> int | None:
    return None if value is None or not math.isfinite(value) else round(value)


# ---------------------------------------------------------------- missing data


def _faults(faults: Sequence[Burst]) -> str:
    ordered = sorted(faults, key=lambda fault: (not fault.burst, fault.reference - fault.current, fault.name))
    broken = [fault for fault in ordered if fault.burst]
    others = [fault for fault in ordered if not fault.burst]
    note = "Of the rows before and tonight the share in which a column is empty, or holds what was never seen before."
    return paper.section(
        "What is missing in the data",
        note if broken else "",
        _faults_table(broken) if broken else "",
        paper.details(
            f"{len(others)} columns that miss no more than they did", _faults_table(others) if others else ""
        ),
    )


def _faults_table(faults: Sequence[Burst]) -> str:
    rows = [
        paper.row(
            [
                escape(fault.name),
                paper.badge("blocks") if fault.burst else paper.badge("quiet"),
                f"{paper.bar(fault.reference)} {paper.percent(fault.reference)}",
                f"{paper.bar(fault.current, on=True)} {paper.percent(fault.current)}",
                paper.probability(fault.adjusted),
            ],
            texts=2,
        )
        for fault in faults
    ]
    return paper.table(["Column", "", "Missing then", "Missing now", "adjusted p"], rows, texts=2)


# ---------------------------------------------------------------- which nights

_NAMED = 7
"""So many nights are named one by one; of more the first and the last."""


def _compared(compared: Sequence[Compared]) -> str:
    rows = [
        paper.row([escape(one.what), _side(one, 0), _side(one, 1), escape(one.note)], texts=4)
        for one in compared
        if one.reference or one.current or one.note
    ]
    note = (
        "People are held against the champion's training nights, of the same weekdays where there are such; how well "
        "it does against the nights that it was tested on."
    )
    table = paper.table(["What", "Reference", "Now", ""], rows, texts=4) if rows else ""
    return paper.section("Which nights were compared", note, table)


def _side(one: Compared, side: int) -> str:
    people = f'<br><span class="quiet">{paper.text(one.people[side])} people</span>' if one.people else ""
    return f"{_nights((one.reference, one.current)[side])}{people}"


def _nights(nights: Sequence[datetime]) -> str:
    if not nights:
        return paper.DASH
    if len(nights) > _NAMED:
        return f"{_night(nights[0])} to {_night(nights[-1])} ({len(nights)})"
    return "<br>".join(map(_night, nights))


def _night(night: datetime) -> str:
    """With its weekday, on which much of what people do depends."""
    return f"{night:%a %Y-%m-%d}" if night.hour == night.minute == 0 else f"{night:%a %Y-%m-%d %H:%M}"
