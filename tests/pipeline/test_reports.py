"""The pages: what is given is there, escaped and in its order; nothing is fetched; what is missing leaves no hole."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.reports import charts, training_pictures, training_report
from pipeline.reports.search import TrialRow
from pipeline.reports.training import GoalResult, Training

HOSTILE = '<script>alert("x")</script>&'
SVG = "{http://www.w3.org/2000/svg}"


class Reader(HTMLParser):
    """Rows of cells of every table, the tags that were opened, and whether every one was closed."""

    void = frozenset({"meta", "br"})

    def __init__(self, page: str) -> None:
        """Read the whole page."""
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember the tag; a row or a cell begins."""
        self.tags.append(tag)
        if tag not in self.void:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Such a tag needs no closing."""
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """What closes is what was opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Text belongs to the cell that is open."""
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data


def trial(number: int, value: float | None, state: str = "COMPLETE") -> TrialRow:
    """A trial with one setting."""
    return {"number": number, "params": {"max_depth": 4}, "value": value, "state": state, "seconds": 1.5}


def goal(**changes: Any) -> GoalResult:
    """A goal with all its parts, some of them changed."""
    made: GoalResult = {
        "name": "click",
        "note": "5 % positive",
        "models": {
            "model": {"auc": (0.781, 0.774, 0.789), "pr_auc": 0.2, "log_loss": 0.13, "ece": 0.02, "lift_10": 3.9},
            "logistic regression": {"auc": 0.75, "pr_auc": 0.21, "log_loss": 0.14, "ece": 0.01, "lift_10": 3.4},
            "most popular": {"auc": 0.68, "log_loss": None},
        },
        "reliability": ([0.1, 0.3], [0.12, 0.28]),
        "roc": ([0.0, 0.5, 1.0], [0.0, 0.8, 1.0]),
        "precision_recall": ([0.1, 1.0], [0.5, 0.05]),
        "learning": {"train": [0.3, 0.2], "validation": [0.31, 0.25]},
        "best_round": 1,
        "importance": [("age", 1.0), ("score", 3.0)],
        "trials": [trial(0, 0.3), trial(1, 0.2), trial(2, 0.1, "PRUNED"), trial(3, None, "FAIL")],
    }
    made.update(changes)  # type: ignore[typeddict-item]
    return made


def training(**changes: Any) -> Training:
    """A training with all its parts, some of them changed."""
    made: Training = {
        "project": "acme",
        "as_of": "2026-03-01 00:00 UTC",
        "verdict": "Promoted: 8 % better.",
        "reason": "NDCG@10 0.14 against 0.13.",
        "facts": [("Rows", 418220)],
        "goals": [goal()],
        "ranking": [("Shortlist", 0.14, 0.13, 0.15), ("most popular", 0.09, None, None)],
        "skipped": [("purchase", "31 positives, 200 are needed")],
        "footer": "version 7",
    }
    made.update(changes)  # type: ignore[typeddict-item]
    return made


def stands_alone(page: str) -> bool:
    """No script, no picture, style or link from elsewhere, and every tag closed: the file opens on a plane."""
    reader = Reader(page)
    addresses = set(re.findall(r"[a-z]+://[^\"' <]+|url\([^)]*\)|@import", page))
    fetched = {"script", "link", "img", "iframe", "a"} & set(reader.tags)
    return not reader.open and not fetched and addresses <= {"http://www.w3.org/2000/svg"}


def test_a_page_stands_alone() -> None:
    """Nothing is fetched from anywhere."""
    assert stands_alone(training_report(training()))


def test_the_verdict_comes_first() -> None:
    """The sentence that matters stands before every table and picture."""
    page = training_report(training())
    verdict = page.index("<h1>")
    assert verdict < min(page.index("<table"), page.index("<h2"))


def test_what_is_given_is_only_ever_text() -> None:
    """A name that is HTML shows as written: content, features and settings come from outside."""
    hostile_goal = goal(
        name=HOSTILE,
        note=HOSTILE,
        models={HOSTILE: {"auc": 0.5}},
        learning={HOSTILE: [0.3, 0.2], "b": [0.3, 0.2]},
        importance=[(HOSTILE, 1.0)],
        trials=[{**trial(0, 0.1, HOSTILE), "params": {HOSTILE: HOSTILE}}],
    )
    words = dict.fromkeys(("project", "as_of", "verdict", "reason", "footer"), HOSTILE)
    lists = {"facts": [(HOSTILE, HOSTILE)], "ranking": [(HOSTILE, 0.1, None, None)], "skipped": [(HOSTILE, HOSTILE)]}
    page = training_report(training(goals=[hostile_goal], **words, **lists))
    assert "<script" not in page.lower()
    assert "&lt;script&gt;" in page
    assert Reader(page).open == []


def test_the_best_of_a_column_is_bold_whichever_way_is_better() -> None:
    """Higher AUC but lower ECE is bold, an interval stands below its value, and a missing value wins nothing."""
    page = training_report(training())
    bold = re.findall(r'<span class="best">([\d.]+)', page)
    assert bold == ["0.781", "0.1300", "3.90", "0.210", "0.0100"]
    assert "0.774 \N{EN DASH} 0.789" in page
    popular = next(row for row in Reader(page).rows if row[0] == "most popular")
    assert popular == ["most popular", "0.680", "\N{EN DASH}", "\N{EN DASH}", "\N{EN DASH}", "\N{EN DASH}"]


def test_nothing_to_compare_with_is_not_best() -> None:
    """A single model is not praised."""
    assert 'class="best"' not in training_report(training(goals=[goal(models={"model": {"auc": 0.9}})]))


def test_trials_are_best_first_and_pruned_ones_last() -> None:
    """A pruned trial's early value never stands above a finished one's."""
    rows = [
        row for row in Reader(training_report(training())).rows if row[1:2] in (["finished"], ["pruned"], ["failed"])
    ]
    assert [(row[0], row[2]) for row in rows] == [
        ("1", "0.20000"),
        ("0", "0.30000"),
        ("2", "0.10000"),
        ("3", "\N{EN DASH}"),
    ]


def test_the_trials_left_out_are_counted() -> None:
    """Of 30 trials 8 are shown and the page says that 22 are elsewhere."""
    page = training_report(training(goals=[goal(trials=[trial(number, 0.1) for number in range(30)])]))
    assert "22 more in MLflow" in page


def test_importance_is_a_share_of_all_gain() -> None:
    """The larger gain comes first, as a share of the whole and not of what is shown."""
    rows = [row for row in Reader(training_report(training())).rows if row[0] in ("age", "score")]
    assert rows == [["score", "", "75.0 %"], ["age", "", "25.0 %"]]


def test_what_is_missing_leaves_no_empty_section() -> None:
    """With only the required parts there is a verdict and not one empty heading."""
    bare: Training = {"project": "acme", "as_of": "2026-03-01", "verdict": "Kept.", "goals": []}
    page = training_report(bare)
    assert "<h2>" not in page
    assert Reader(page).open == []
    assert training_pictures(bare) == {}


def test_pictures_are_svg_files_of_their_own() -> None:
    """Every picture of the page is also a whole SVG document with its own colours."""
    pictures = training_pictures(training())
    assert set(pictures) == {
        "ranking.svg",
        "click-reliability.svg",
        "click-roc.svg",
        "click-precision-recall.svg",
        "click-learning.svg",
    }
    for content in pictures.values():
        root = ET.fromstring(content)
        assert root.tag == f"{SVG}svg"
        assert "--accent" in (root.findtext(f"{SVG}style") or "")


def test_a_perfectly_calibrated_model_lies_on_the_diagonal() -> None:
    """Points with predicted = observed fall on the dashed line: both axes start at 0 and the guide is y = x."""
    svg = charts.line_chart(
        [charts.Line("model", [0.1, 0.2], [0.1, 0.2], dots=True)], "predicted", diagonal=True, zero=True
    )
    root = ET.fromstring(svg)
    line = next(line.attrib for line in root.iter(f"{SVG}line") if line.attrib["class"] == "guide")
    guide = {key: float(line[key]) for key in ("x1", "x2", "y1", "y2")}
    slope = (guide["y2"] - guide["y1"]) / (guide["x2"] - guide["x1"])
    for dot in root.iter(f"{SVG}circle"):
        expected = guide["y1"] + slope * (float(dot.attrib["cx"]) - guide["x1"])
        assert float(dot.attrib["cy"]) == pytest.approx(expected, abs=0.2)


def test_points_that_are_not_numbers_are_left_out() -> None:
    """NaN and infinity draw nothing; a picture without a point is no picture."""
    nan, inf = float("nan"), float("inf")
    svg = charts.line_chart([charts.Line("a", [0.0, 1.0, 2.0], [1.0, nan, 2.0])], "x")
    (drawn,) = ET.fromstring(svg).iter(f"{SVG}polyline")
    assert len(drawn.attrib["points"].split()) == 2
    assert charts.line_chart([charts.Line("a", [nan, 1.0], [1.0, inf])], "x") == ""
    assert charts.interval_chart([("a", nan, None, None)]) == ""


@given(
    st.lists(
        st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)) | st.just((0.25, 0.25)),
        min_size=1,
        max_size=20,
    ),
    st.booleans(),
)
def test_every_point_is_inside_the_picture(points: list[tuple[float, float]], zero: bool) -> None:
    """Whatever the values, one point or many, equal or far apart, nothing is drawn outside the frame."""
    line = charts.Line("a", [x for x, _ in points], [y for _, y in points], dots=True)
    root = ET.fromstring(charts.line_chart([line], "x", diagonal=True, zero=zero))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for dot in root.iter(f"{SVG}circle"):
        assert 0 <= float(dot.attrib["cx"]) <= width
        assert 0 <= float(dot.attrib["cy"]) <= height


@given(st.lists(st.tuples(st.floats(-10, 10), st.none() | st.floats(0, 5)), min_size=1, max_size=8))
def test_intervals_hold_their_means(rows: list[tuple[float, float | None]]) -> None:
    """A mean stands between the ends of its whisker, for any sign and width."""
    given_rows = [
        (f"m{i}", mean, w if w is None else mean - w, w if w is None else mean + w) for i, (mean, w) in enumerate(rows)
    ]
    root = ET.fromstring(charts.interval_chart(given_rows))
    whiskers = {line.attrib["y1"]: line.attrib for line in root.iter(f"{SVG}line") if "line" in line.attrib["class"]}
    dots = list(root.iter(f"{SVG}circle"))
    assert len(dots) == len(rows)
    for dot in dots:
        ends = whiskers.get(str(int(float(dot.attrib["cy"]))))
        if ends is not None:
            assert float(ends["x1"]) - 0.11 <= float(dot.attrib["cx"]) <= float(ends["x2"]) + 0.11
