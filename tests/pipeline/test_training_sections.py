"""What a training's page draws of effects, groups, examples and trials: all of it inside the frame, and only text."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from models.gate_rows import Check
from pipeline.reports import training_pictures, training_report
from pipeline.reports.examples import said
from pipeline.reports.page import DASH
from pipeline.reports.search import history_chart
from pipeline.reports.swarm import swarm
from tests.pipeline.test_reports import HOSTILE, SVG, Reader, goal, training

NAN = float("nan")


def effect(name: str = "covisit", **changes: Any) -> dict[str, Any]:
    """A feature with four rows, one of them without a value."""
    made = {"name": name, "meaning": "who read both", "mean": 0.5}
    return {**made, "contributions": [-0.5, 0.1, 0.7, 0.7], "levels": [0.0, 0.5, 1.0, None], **changes}


def group(name: str = "new", **changes: Any) -> dict[str, Any]:
    """A group of people."""
    figures = {"auc": (0.7, 0.6, 0.8), "typical": 0.75, "expected": 0.05, "observed": (0.06, 0.05, 0.07)}
    made = {"kind": "activity", "name": name, "people": 40, "rows": 900, **figures, "exposure": 0.9, "off": False}
    return {**made, **changes}


def example(**changes: Any) -> dict[str, Any]:
    """A row in words."""
    reasons = [{"words": "3 clicks in 7 days", "factor": 1.8}, {"words": "never bought", "factor": 0.5}]
    made = {"title": "Listed high", "content": "On tea", "facts": [("Night", "2026-06-30")], "happened": "Nothing."}
    return {**made, "reasons": reasons, "summing": "The odds begin at 1 to 20.", **changes}


def weights(**changes: Any) -> dict[str, Any]:
    """Weights that were better by a measure."""
    figures = {"today": 0.2, "suggested": 0.25, "difference": (0.05, 0.01, 0.09), "better": True}
    return {"measure": "NDCG@10 of click", "weights": {"click": 0.3, "read": 1.4}, **figures, **changes}


def page(**changes: Any) -> str:
    """A page with one goal that has all of it."""
    steps = [{"number": n, "value": v, "whole": n != 1, "best": b} for n, (v, b) in enumerate([(0.3, 0.3), (0.5, 0.3)])]
    parts = {"effects": [effect()], "slices": [group()], "audit": "Ranked worst: new.", "history": steps}
    return training_report(training(goals=[goal(**{**parts, **changes})], examples=[example()], examples_note="Three."))


def test_all_parts_are_there_and_nothing_is_fetched() -> None:
    """Every section with its sentence; every tag closed, no address but SVG's own."""
    found = page(settings={"learning_rate": 0.7, "max_depth": 0.3})
    reader = Reader(found)
    assert reader.open == []
    for part in ("What moves the odds", "Groups of people", "Ranked worst: new.", "Three rows in words", "On tea"):
        assert part in found
    assert "raised the odds 1.8 times" in found
    assert "lowered the odds 2.0 times" in found
    assert ["learning rate", "", "70 %"] in reader.rows
    assert set(re.findall(r"[a-z]+://[^\"' <]+", found)) == {"http://www.w3.org/2000/svg"}
    told = page(settings="Too few trials to tell.")
    assert "Too few trials to tell." in told


def test_names_from_outside_are_only_text() -> None:
    """Contents' titles, groups of the CRM and features' meanings come from outside."""
    hostile = dict.fromkeys(("title", "content", "content_id", "happened", "summing"), HOSTILE)
    one = example(**hostile, facts=[(HOSTILE, HOSTILE)], reasons=[{"words": HOSTILE, "factor": 2.0}])
    changed = goal(
        effects=[effect(HOSTILE, meaning=HOSTILE)],
        slices=[group(HOSTILE, kind=HOSTILE)],
        audit=HOSTILE,
        settings={HOSTILE: 1.0},
    )
    check = Check(HOSTILE, value=0.1, low=0.0, high=0.2, bound=0.0, passed=True)
    suggested = {"weights": [weights(measure=HOSTILE, weights={HOSTILE: 1.0})], "weights_note": HOSTILE}
    found = training_report(
        training(goals=[changed], examples=[one], examples_note=HOSTILE, checks=[check], serves=HOSTILE, **suggested)
    )
    assert "<script" not in found.lower()
    assert Reader(found).open == []
    assert "<script" not in training_pictures(training(goals=[changed]))["click-effects.svg"].decode().lower()


def test_what_failed_comes_first_and_by_how_much() -> None:
    """The figure that is held against the bound is bold; a check without an interval has none; who is few is named."""
    nan = float("nan")
    checks = [
        Check("fine", 0.02, 0.01, 0.03, 0.0, passed=True, held="low"),
        Check("plain", 1.0, nan, nan, 1.0, passed=True),
        Check("harmed", -0.05, -0.08, -0.03, -0.02, passed=False, held="high", note="<more>"),
    ]
    found = training_report(training(checks=checks, unjudged=["segment <new>: 12 of the 30 people needed engaged"]))
    rows = [row for row in Reader(found).rows if row[0].startswith(("fine", "plain", "harmed"))]
    assert [row[0] for row in rows] == ["harmed<more>", "fine", "plain"]
    assert rows[0][1:] == ["-0.0500", "-0.0800 to -0.0300", "-0.0200", "not passed, by 0.0100"]
    assert rows[2][2] == DASH
    assert '<span class="best">-0.0300</span>' in found
    assert "segment &lt;new&gt;: 12 of the 30" in found


def test_weights_that_are_no_better_are_no_suggestion() -> None:
    """Each measure with its weights and difference, and a sentence on what is left; no section where none was tried."""
    worse = weights(measure="value", difference=(0.01, -0.02, 0.04), better=False)
    found = training_report(training(weights=[weights(), worse], weights_note="Today: click 1."))
    rows = Reader(found).rows
    assert [
        "NDCG@10 of click",
        "click 0.3, read 1.4",
        "0.2000",
        "0.2500",
        "+0.0500+0.0100 to +0.0900",
        "better",
    ] in rows
    assert next(row for row in rows if row[0] == "value")[-1] == "none"
    assert "Better beyond doubt by NDCG@10 of click. What is gained" in found
    assert "There is no suggestion" in training_report(training(weights=[worse]))
    assert "Weights that would" not in training_report(training())


def test_groups_show_figures_and_dashes() -> None:
    """A group without an AUC has dashes and no whisker; one whose probabilities are off is red."""
    unknown = group("none", auc=(NAN, NAN, NAN), typical=NAN, exposure=NAN)
    rows = Reader(page(slices=[group(off=True), unknown])).rows
    first, second = (next(row for row in rows if row[0] == name) for name in ("new", "none"))
    assert first == [
        "new", "40", "900", "0.7000.600 \N{EN DASH} 0.800", "", "5.0 %", "6.0 %5.0 % \N{EN DASH} 7.0 %",
        "\N{MULTIPLICATION SIGN} 0.90",
    ]  # fmt: skip
    assert second[3] == second[7] == "\N{EN DASH}"
    assert '<span class="yes">6.0 %</span>' in page(slices=[group(off=True)])


@given(
    st.lists(
        st.lists(st.tuples(st.floats(-20, 20), st.none() | st.floats(0, 1)), min_size=1, max_size=30),
        min_size=1,
        max_size=4,
    )
)
def test_every_dot_of_a_swarm_is_inside(features: list[list[tuple[float, float | None]]]) -> None:
    """However far the contributions reach, no dot leaves the frame, and there is a dot a row."""
    given_effects = [
        effect(str(i), contributions=[value for value, _ in rows], levels=[level for _, level in rows])
        for i, rows in enumerate(features)
    ]
    root = ET.fromstring(swarm(given_effects))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    dots = [
        (float(x), float(y))
        for path in root.iter(f"{SVG}path")
        for x, y in re.findall(r"M(-?[\d.]+) (-?[\d.]+)h0", path.attrib["d"])
    ]
    legend = 6
    assert len(dots) == legend + sum(map(len, features))
    assert all(0 <= x <= width and 0 <= y <= height for x, y in dots)


@given(st.lists(st.tuples(st.floats(0, 1e3), st.booleans()), min_size=1, max_size=20))
def test_every_trial_of_a_history_is_inside(trials: list[tuple[float, bool]]) -> None:
    """An outlier is drawn at the edge, pruned trials are hollow, and the line of the best never rises."""
    steps, best = [], None
    for number, (value, whole) in enumerate(trials):
        best = value if whole and (best is None or value < best) else best
        steps.append({"number": number, "value": value, "whole": whole, "best": best})
    root = ET.fromstring(history_chart(steps))  # type: ignore[arg-type]
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for dot in root.iter(f"{SVG}circle"):
        assert 0 <= float(dot.attrib["cx"]) <= width
        assert 0 <= float(dot.attrib["cy"]) <= height
    pruned = sum(not whole for _, whole in trials)
    hollow = [dot for dot in root.iter(f"{SVG}circle") if dot.attrib["class"] == "hollow"]
    assert len(hollow) == pruned + (pruned > 0)
    line = next((p.attrib["d"] for p in root.iter(f"{SVG}path") if "line" in p.attrib["class"]), "")
    heights = [float(y) for y in re.findall(r"(?:V|M[\d.]+ )([\d.]+)", line)]
    assert heights == sorted(heights), "less is further down"


def test_factors_in_words() -> None:
    """What raises is said to raise, by how much; small moves keep their second digit."""
    assert [said(factor) for factor in (1.8, 0.5, 1.04, 30.0)] == [
        "raised the odds 1.8 times", "lowered the odds 2.0 times", "raised the odds 1.04 times",
        "raised the odds 30 times",
    ]  # fmt: skip
