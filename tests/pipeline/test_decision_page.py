"""The page about a decision: whatever was decided and measured, all of it is there, as text, and can be read."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import escape
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.bursts import Burst
from models.drift import DriftResult, FeatureDrift, Together
from models.performance import CANNOT_TELL, DIPPED, STEADY, Dip
from pipeline.reports import decision_page
from pipeline.reports.decision import STATES, Arm, Compared, Decision, State, figures_of
from pipeline.reports.dips import Beside
from pipeline.reports.grades import Mark, Measured, NightGrade
from pipeline.reports.moved import DRAWN
from tests.pipeline.test_reports import HOSTILE, SVG, Reader, stands_alone

NIGHT = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
NAN, INF = math.nan, math.inf


def arm(name: str, state: State, detail: str = "because.", **figures: float | None) -> Arm:
    """An arm that found this."""
    return Arm(name=name, fired=state in {"fires", "blocks"}, state=state, detail=detail, figures=figures)


def feature(name: str, psi: float = 0.5, *, drifted: bool = False, **changes: Any) -> FeatureDrift:
    """A feature of three bins that half the people left."""
    bins, then, now = ("to 1", "1 to 2", "missing"), (0.5, 0.5, 0.0), (0.25, 0.5, 0.25)
    return replace(FeatureDrift(name, psi, 0.0004, 0.002, drifted, 1.0, bins, then, now), **changes)


def moved(*features: FeatureDrift, together: Together | None = None) -> DriftResult:
    """What the drift check found."""
    return DriftResult(features, together, any(one.drifted for one in features), 48112, 21904)


def dip(name: str, **changes: Any) -> Dip:
    """A figure that dropped by more than was allowed."""
    return replace(Dip(name, 0.78, 0.7, 0.08, 0.05, 0.11, 0.9993, 420, 380, 0.01, DIPPED), **changes)


def decision(**changes: Any) -> Decision:
    """A decision with all its parts, some of them changed."""
    made = Decision(
        project="acme",
        as_of=NIGHT,
        outcome="trains",
        verdict="Train a challenger: the scores moved.",
        then="It serves tonight if the gate promotes it; otherwise version 3 makes tonight's lists.",
        arms=[arm("age", "quiet", statistic=21.0, threshold=30.0), arm("drift", "fires", statistic=0.5, n=21904.0)],
        facts=[("Champion", "version 3")],
        faults=[Burst("device: missing in web", 0.01, 0.4, 0.002, burst=True), Burst("country", 0.1, 0.1, 1.0, False)],
        dips=[dip("AUC of click")],
        promised={"click": (0.8, 0.75)},
        margin=0.01,
        result=moved(feature("score", drifted=True), feature("age_days"), together=Together(0.7, 0.001, 0.01, True)),
        twice=("score",),
        method="Resampling.",
        grades=[NightGrade(NIGHT - k * DAY, Measured(0.14, 0.13, 0.15), Measured(0.08), 400) for k in (4, 3, 2)],
        marks=[Mark(NIGHT - 3 * DAY, "version 3")],
        compared=[Compared("People", [NIGHT - 9 * DAY], [NIGHT - DAY], (48112, 21904))],
    )
    return replace(made, **changes)


def pictures(page: str) -> Mapping[str, ET.Element]:
    """Every picture that says what it shows, by that; each is XML of its own."""
    found = [ET.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]
    return {svg.attrib["aria-label"]: svg for svg in found}


def rows(page: str, *names: str) -> list[list[str]]:
    """The lines of tables that have one of these names in their first cell."""
    return [row for row in Reader(page).rows if row[0] in names]


# ---------------------------------------------------------------- what happens, and why


def test_it_stands_alone_and_begins_with_the_verdict_and_what_comes_next() -> None:
    """Nothing is fetched; the sentence, what it means for tonight, then all else."""
    page = decision_page(decision())
    assert stands_alone(page)
    places = [page.index(words) for words in ("<h1>Train a challenger", "trains a challenger", "otherwise version 3")]
    assert places == sorted(places)
    assert places[-1] < page.index("<table")


def test_a_night_without_anything_to_show_has_no_empty_section() -> None:
    """Where there is no champion nothing was compared."""
    page = decision_page(Decision("acme", NIGHT, "trains", "Train a challenger.", "It serves.", []))
    assert "<h2>" not in page
    assert Reader(page).open == []


def test_what_decides_stands_first_and_each_state_has_its_word() -> None:
    """Whoever sees no colours reads the word; its mark is not read aloud."""
    page = decision_page(decision(arms=[arm(f"arm {state}", state) for state in reversed(STATES)]))
    found = [row[:2] for row in Reader(page).rows if row[1:2] and row[1].startswith("Arm ")]
    assert [state.partition(" ")[2] for state, _ in found] == list(STATES)
    assert page.count('<i aria-hidden="true">') >= len(STATES)


def test_figures_in_words() -> None:
    """All that an arm measured, with what each is."""
    dipped = {"statistic": 0.08, "low": 0.05, "high": 0.11, "threshold": 0.01, "n": 420.0, "needed": 1380.0}
    assert figures_of(arm("performance", "cannot tell", **dipped)) == (
        "drop 0.08 · allowed 0.01 · between 0.05 and 0.11 · 420 positives, 1\N{NARROW NO-BREAK SPACE}380 needed"
    )
    drift = arm("drift", "fires", statistic=0.5, p_value=0.00002, n=600.0)
    assert figures_of(drift) == "largest PSI 0.5 · adjusted p < 0.0001 · 600 people"
    unknown = {**dipped, "needed": None}
    assert figures_of(arm("performance", "cannot tell", **unknown)).endswith("more reference nights needed")
    assert figures_of(arm("performance", "fires", **unknown)).endswith("420 positives")
    assert figures_of(arm("asked for", "quiet")) == ""


def test_missing_data_are_shares_then_and_now_and_what_blocks_is_in_sight() -> None:
    """The broken column in a table; the others folded away."""
    page = decision_page(decision())
    broken, whole = rows(page, "device: missing in web", "country")
    assert [cell.strip() for cell in broken] == ["device: missing in web", "■ blocks", "1.0 %", "40.0 %", "0.0020"]
    assert whole[1] == "\N{MIDDLE DOT} quiet"
    assert page.index("device: missing in web") < page.index("<details>") < page.index("country")


# ---------------------------------------------------------------- how well the champion does


@pytest.mark.parametrize(
    ("verdict", "needed", "word", "count"),
    [
        (DIPPED, None, "● dipped", "420"),
        (STEADY, 380, "✓ steady", "420380 needed"),
        (CANNOT_TELL, 1380, "? cannot tell", "4201\N{NARROW NO-BREAK SPACE}380 needed"),
        (CANNOT_TELL, None, "? cannot tell", "420more reference nights needed"),
    ],
)
def test_a_dip_says_what_it_is_and_what_it_would_take(verdict: str, needed: int | None, word: str, count: str) -> None:
    """Nobody takes "cannot tell" for "fine", and how many positives it takes stands beside those that there are."""
    page = decision_page(decision(dips=[dip("AUC of click", verdict=verdict, needed=needed)]))
    (found,) = rows(page, "AUC of click")
    assert (found[1], found[-1]) == (word, count)


def test_the_bar_of_a_dip_lies_where_its_interval_does() -> None:
    """The dot between the ends; an interval beyond what is allowed lies right of the dashed line, another around it."""
    both = [dip("AUC of click"), dip("NDCG@10", drop=0.0, low=-0.02, high=0.03, verdict=CANNOT_TELL)]
    for one in both:
        svg = pictures(decision_page(decision(dips=both)))[f"{one}"]
        lines = {line.attrib["class"].split()[0]: line.attrib for line in svg.iter(f"{SVG}line")}
        low, high = (float(lines["line"][end]) for end in ("x1", "x2"))
        (dot,) = svg.iter(f"{SVG}circle")
        assert low < float(dot.attrib["cx"]) < high
        assert (float(lines["guide"]["x1"]) < low) == (one.low > one.margin)
        assert 0 <= low < high <= float(svg.attrib["viewBox"].split()[2])


def test_the_model_before_stands_beside_the_champion() -> None:
    """What each reached for the same people, by version; one that is surely worse is said to be."""
    loss = dip("NDCG@10", reference=0.15, current=0.12, drop=0.03, low=0.01, high=0.05, margin=0.0)
    page = decision_page(decision(dips=[], beside=Beside("3", "2", loss)))
    assert rows(page, "NDCG@10") == [["NDCG@10", "◀ worse", "", "0.150", "0.120", "+0.030+0.010 to +0.050"]]
    assert ["Figure", "", "Where the loss lies", "Version 2", "Version 3", "Loss"] in Reader(page).rows
    told = "Version 3 reached 0.120, version 2 would have reached 0.150: between +0.010 and +0.050 less."
    assert told in pictures(page)


def test_what_scores_promise_is_a_line_a_goal() -> None:
    """A drop beyond the margin warns, and decides nothing."""
    page = decision_page(decision(promised={"click": (0.8, 0.75), "read": (0.7, 0.695)}))
    assert rows(page, "click", "read") == [
        ["click", "▲ warns", "0.800", "0.750", "+0.050", "0.010"],
        ["read", "\N{MIDDLE DOT} quiet", "0.700", "0.695", "+0.005", "0.010"],
    ]


# ---------------------------------------------------------------- what moved


def test_scores_and_what_moved_are_drawn_large_and_the_rest_folded_away() -> None:
    """The scores first although they did not move; a feature that did says in which bin, and for how long."""
    features = [feature("age_days", 0.6), feature("hour", 0.1, drifted=True), feature("score", 0.0)]
    page = decision_page(decision(result=moved(*features), twice=(), meanings={"hour": "of `view`s"}))
    large = page.partition("1 more, none of which moved")[0]
    places = [large.index(f"<h3>{name}</h3>") for name in ("score", "hour")]
    assert places == sorted(places)
    assert large.count("Most in “up to 1”: 50.0 % then, 25.0 % now.") == 1
    assert "moved, first night" in large
    assert "of <code>view</code>s" in large
    assert rows(page, "age_days")[0][2:] == ["\N{MIDDLE DOT} steady", "0.600", "0.0004", "0.0020", "1.00"]


def test_a_bin_of_one_value_is_called_by_it() -> None:
    """0 has a bin that begins a hair below it."""
    one = feature("clicks", drifted=True, bins=("-4.941e-324 to 0", "0 to 3", "3 to 3"))
    (told,) = (words for words in pictures(decision_page(decision(result=moved(one)))) if "of clicks" in words)
    assert told == (
        "Shares of clicks by bin. 0: 50.0 % then, 25.0 % now; 0 to 3: 50.0 % then, 50.0 % now; 3: 0 % then, 25.0 % now"
    )


# ---------------------------------------------------------------- how the lists did


def test_grades_are_drawn_from_their_night_to_tonight_with_the_models_change() -> None:
    """A dot a graded night and a whisker where the interval is kept; the change stands at its own night."""
    grades = [
        NightGrade(NIGHT - 10 * DAY, Measured(0.10)),
        NightGrade(NIGHT - 5 * DAY, Measured(0.2, 0.15, 0.25), Measured(0.08), 1400),
    ]
    marks = [Mark(NIGHT - 5 * DAY, "version 3")]
    page = decision_page(decision(grades=grades, marks=marks))
    (svg,) = (svg for words, svg in pictures(page).items() if words.startswith("NDCG@10 of 2 nights"))
    first, second = (float(dot.attrib["cx"]) for dot in svg.iter(f"{SVG}circle"))
    lines = [line.attrib for line in svg.iter(f"{SVG}line")]
    (mark,) = (float(line["x1"]) for line in lines if line["class"] == "guide")
    (reach,) = (line for line in lines if line["class"] == "reach s0")
    assert first < second == mark == float(reach["x1"])
    assert float(reach["y1"]) > float(reach["y2"])
    assert "2026-02-24: 0.200 (0.150 to 0.250) over 1\N{NARROW NO-BREAK SPACE}400 people; most-popular 0.080" in page
    assert rows(page, "2026-02-24", "2026-02-19") == [
        ["2026-02-24", "version 3", "0.200 (0.150 to 0.250)", "0.080", "1\N{NARROW NO-BREAK SPACE}400"],
        ["2026-02-19", "", "0.100", "\N{EN DASH}", "\N{EN DASH}"],
    ]


def test_the_nights_that_were_compared_are_named_with_their_weekday() -> None:
    """Up to seven one by one, more by the first and the last; and why none were, where none were."""
    many = [NIGHT - k * DAY for k in range(20, 10, -1)]
    compared = [
        Compared("People", [NIGHT - 8 * DAY, NIGHT - 7 * DAY], many, (48112, 21904)),
        Compared("Outcome", note="no night has matured"),
    ]
    page = decision_page(decision(compared=compared))
    assert rows(page, "People", "Outcome") == [
        [
            "People",
            "Sat 2026-02-21Sun 2026-02-2248\N{NARROW NO-BREAK SPACE}112 people",
            "Mon 2026-02-09 to Wed 2026-02-18 (10)21\N{NARROW NO-BREAK SPACE}904 people",
            "",
        ],
        ["Outcome", "\N{EN DASH}", "\N{EN DASH}", "no night has matured"],
    ]


# ---------------------------------------------------------------- whatever is given

WORDS = st.text(st.characters(exclude_categories=("C",)), min_size=1, max_size=12) | st.just(HOSTILE)
NUMBERS = st.floats(-1e6, 1e6) | st.sampled_from([NAN, INF, -INF])
SHARES = st.floats(0, 1) | st.just(NAN)
ARMS = st.builds(
    Arm,
    name=WORDS,
    fired=st.booleans(),
    state=st.sampled_from(STATES),
    detail=WORDS,
    figures=st.dictionaries(WORDS | st.sampled_from(["statistic", "p_value", "n"]), st.none() | NUMBERS, max_size=3),
)


@st.composite
def features(draw: st.DrawFn, names: Sequence[str]) -> list[FeatureDrift]:
    """Features with any figures, and bins as the drift check writes them."""
    many = st.integers(0, 6)
    made = []
    for name in names:
        edges = [f"{edge:.4g}" for edge in draw(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=6))]
        bins = (f"to {edges[0]}", *map(" to ".join, pairwise(edges)), f"over {edges[-1]}", "other")
        bins = bins[: draw(many)]
        sides = [tuple(draw(SHARES) for _ in bins) for _ in range(2)]
        figures = [draw(NUMBERS) for _ in range(4)]
        made.append(FeatureDrift(name, *figures[:3], draw(st.booleans()), figures[3], bins, *sides))
    return made


@st.composite
def decisions(draw: st.DrawFn) -> Decision:
    """Anything that a night may have found, and more."""
    found = draw(st.lists(WORDS, unique=True, max_size=20).flatmap(features))
    verdicts = st.sampled_from([DIPPED, STEADY, CANNOT_TELL])
    whole = st.integers(0, 10**6)
    figure = st.builds(Measured, NUMBERS, st.none() | NUMBERS, st.none() | NUMBERS)
    dips = st.builds(Dip, WORDS, *[NUMBERS] * 6, whole, st.none() | whole, st.floats(0, 1), verdicts)
    nights = st.integers(0, 90).map(lambda back: NIGHT - back * DAY)
    return replace(
        decision(),
        project=draw(WORDS),
        verdict=draw(WORDS),
        then=draw(WORDS),
        outcome=draw(st.sampled_from(["trains", "stays", "goes back", "held back"])),
        arms=draw(st.lists(ARMS, max_size=9)),
        faults=draw(st.lists(st.builds(Burst, WORDS, SHARES, SHARES, NUMBERS, st.booleans()), max_size=4)),
        dips=draw(st.lists(dips, max_size=3)),
        beside=draw(st.none() | st.builds(Beside, WORDS, WORDS, dips)),
        promised=draw(st.dictionaries(WORDS, st.tuples(NUMBERS, NUMBERS), max_size=3)),
        result=moved(*found, together=draw(st.none() | st.builds(Together, NUMBERS, NUMBERS, NUMBERS, st.booleans()))),
        twice=[one.name for one in found[::2]],
        meanings={one.name: draw(WORDS) for one in found[::3]},
        grades=sorted(
            draw(st.lists(st.builds(NightGrade, nights, figure, st.none() | figure, st.none() | whole), max_size=9)),
            key=lambda grade: grade.night,
        ),
        marks=sorted(draw(st.lists(st.builds(Mark, nights, WORDS), max_size=4)), key=lambda mark: mark.night),
        compared=[Compared(draw(WORDS), draw(st.lists(nights)), draw(st.lists(nights)), note=draw(WORDS))],
    )


@given(decisions())
def test_whatever_was_found_is_on_the_page_and_only_ever_text(given_one: Decision) -> None:
    """Every arm, everything that moved as a picture, every dip and fault; no number that is none spoils a picture."""
    page = decision_page(given_one)
    assert stands_alone(page)
    told = page.partition("</style>")[2]
    for one in given_one.arms:
        assert escape(one["detail"]) in told
    for dipped in given_one.dips:
        assert escape(dipped.name) in told
    for fault in given_one.faults:
        assert escape(fault.name) in told
    shown = pictures(page)
    assert given_one.result is not None
    for one in given_one.result.features:
        if one.bins and one.drifted:
            assert any(words.startswith(f"Shares of {one.name} by bin.") for words in shown)
    for svg in shown.values():
        for part in svg.iter():
            placed = [value for name, value in part.attrib.items() if name not in {"aria-label", "class", "xmlns"}]
            assert not re.search(r"nan|inf", " ".join(placed))
    large = page.partition("How that is told")[0].count('<div class="card">')
    assert large <= DRAWN
