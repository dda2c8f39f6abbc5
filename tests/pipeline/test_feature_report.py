"""The report on a night's features: figures that are right, pictures that can be read, a whole page, one run."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import spec
from models import classifier, drift
from models.classifier import Bundle, GoalModel
from pipeline import feature_report, registry, tracking
from pipeline.config import Config
from pipeline.feature_report import Reference
from pipeline.records import Tracker, TrainingRecord
from pipeline.reports import bins, charts, features_page
from pipeline.reports.features import FeaturePage, FeatureRow, Values
from tests.pipeline.small import House
from tests.pipeline.test_reports import HOSTILE, SVG, Reader

NIGHT, DAY = datetime(2026, 7, 1, tzinfo=UTC), timedelta(days=1)
EARLIER = NIGHT - 7 * DAY
PEOPLE, CONTENTS = 3000, 200
GOALS = '[goals.click]\nevents = ["click"]\n[goals.read]\nmin_dwell_seconds = 30\n'


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    """A project without a lake."""
    return House(tmp_path_factory.mktemp("house"))


@pytest.fixture(scope="module")
def config(house: House) -> Config:
    """Its configuration: two goals."""
    return house.configure(GOALS)


def people(seed: int, **changes: Any) -> pa.Table:
    """A night of people: counts with many zeros, money with a long tail, and times that some lack."""
    rng = np.random.default_rng(seed)
    bought = rng.random(PEOPLE) < 0.2
    columns = {
        "events_7d": rng.poisson(3.0, PEOPLE).astype(float),
        "purchases_30d": np.where(bought, rng.poisson(1.0, PEOPLE) + 1.0, 0.0),
        "rfm_monetary_30d": np.where(bought, rng.lognormal(3, 1.5, PEOPLE), 0.0),
        "purchase_recency_days": np.where(bought, rng.uniform(0, 30, PEOPLE), np.nan),
        "tenure_days": rng.uniform(0, 40, PEOPLE),
        "mobile_share": np.full(PEOPLE, np.nan),
        "session_entry_app_30d": np.zeros(PEOPLE),
    }
    return pa.table({"person_id": np.arange(PEOPLE), **columns, **changes})


def contents(seed: int) -> pa.Table:
    """A night of contents."""
    rng = np.random.default_rng(seed)
    return pa.table({"content_id": [f"c{i}" for i in range(CONTENTS)], "people_7d": rng.poisson(40, CONTENTS) * 1.0})


def made(config: Config, now: pa.Table, before: pa.Table | None = None, **options: Any) -> FeaturePage:
    """The page's figures."""
    reference = None if before is None else Reference(EARLIER, before, contents(9), "the earliest night in the lake")
    importance = options.pop("importance", {})
    listed = feature_report.listed(now, config)
    return feature_report.page(NIGHT, now, contents(2), listed, reference, importance, config, **options)


def row(page: FeaturePage, name: str) -> FeatureRow:
    """One of its features."""
    return next(one for one in page.features if one.name == name)


# ---------------------------------------------------------------- figures


def test_coverage_quantiles_and_index_are_those_of_numpy_and_of_the_drift_check(config: Config) -> None:
    """Share with a value, three percentiles of those, and the same index as `models.drift` finds."""
    now, before = people(1), people(2, events_7d=np.random.default_rng(5).poisson(4.0, PEOPLE) * 1.0)
    page = made(config, now, before)
    one, values = row(page, "purchase_recency_days"), now["purchase_recency_days"].to_numpy()
    assert one.now is not None
    assert one.now.coverage == pytest.approx(np.mean(~np.isnan(values)))
    assert one.now.quantiles == pytest.approx(np.nanquantile(values, [0.05, 0.5, 0.95]))
    moved = row(page, "events_7d")
    frame = {"events_7d": np.concatenate([before["events_7d"].to_numpy(), now["events_7d"].to_numpy()])}
    window = np.repeat([0, 1], PEOPLE)
    expected = drift.check(frame, np.arange(2 * PEOPLE), window, permutations=99).features[0]
    assert moved.psi == pytest.approx(expected.psi)
    assert moved.moved
    assert [one.name for one in page.features if one.moved] == ["events_7d"]


def test_what_grows_with_the_log_did_not_move(config: Config) -> None:
    """Features that look further back than the reference night's log went are told apart, however large the index."""
    before, now = people(1), people(1)
    older = now.set_column(
        now.column_names.index("tenure_days"), "tenure_days", pa.array(now["tenure_days"].to_numpy() + 7)
    )
    page = made(config, older, before)
    tenure = row(page, "tenure_days")
    assert tenure.psi is not None
    assert tenure.psi > 0.1
    assert (tenure.grows, tenure.moved, row(page, "events_7d").grows) == (True, False, False)
    assert "tenure_days" in features_page(page).split("so they grow with it", 1)[1].split("</li>")[0]


def test_chance_is_not_movement(config: Config) -> None:
    """Nights of the same kind: no feature is said to have moved, though small tables have large indices."""
    for seed in range(3, 8):
        page = made(config, people(seed), people(seed + 20))
        assert [one.name for one in page.features if one.moved] == []
        chance = row(page, "people_7d").chance
        assert chance is not None
        assert chance > 0.05


def test_what_is_missing_is_said(config: Config) -> None:
    """Values that nobody has, one value for all, absent and unlisted columns, what there was not, a fallen share."""
    fewer = np.where(np.arange(PEOPLE) % 2, np.nan, 1.0)
    page = made(
        config,
        people(1, odd=np.ones(PEOPLE), purchase_recency_days=fewer),
        people(2, purchase_recency_days=np.ones(PEOPLE)),
        missing=["No CRM was loaded."],
        importance={"click": {"events_7d": 0.6, "gone_7d": 0.4}},
    )
    html = features_page(page)
    summary = re.sub(r"<[^>]+>", "", html[html.index("What is missing") : html.index("All features")])
    for words in (
        "No CRM was loaded.",
        "Nobody has a value of mobile_share.",
        "Everybody has the same value (in brackets) of session_entry_app_30d (0).",
        "Fewer have a value than before of purchase_recency_days.",
        "person_features was written without events_1d, ",
        "person_features has columns that are in no list of features: odd.",
        "The champion reads what is no feature any more: gone_7d.",
        "The champion does not read",
    ):
        assert words in summary


def test_importance_is_the_mean_over_goals(config: Config) -> None:
    """The table has the most important feature first, and ties by group."""
    importance = {"click": {"covisit": 0.7, "events_7d": 0.3}, "read": {"covisit": 0.0, "events_7d": 1.0}}
    page = made(config, people(1), importance=importance)
    assert (row(page, "events_7d").gain, row(page, "covisit").gain) == (0.65, 0.35)
    rows = [cells for cells in Reader(features_page(page)).rows if len(cells) == 7]
    first = [cells[0] for cells in rows[1:4]]
    assert first[0].startswith("events_7d")
    assert first[1].startswith("covisit")
    assert first[2].startswith("events_1d")
    assert (rows[1][6], rows[2][1]) == ("65.0 %", "a value a pair, not kept")


def test_metrics_are_those_of_the_most_important_features(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Capped in number; coverage and index by name; nothing for what no model reads or no table keeps."""
    importance = {"click": {"events_7d": 0.2, "tenure_days": 0.5, "covisit": 0.3}}
    page = made(config, people(1), people(2), importance=importance)
    every = feature_report.metrics(page)
    assert every["people"] == PEOPLE
    assert every["coverage.mobile_share"] == 0.0
    assert "coverage.covisit" not in every
    assert all(map(math.isfinite, every.values()))
    monkeypatch.setattr(feature_report, "_METRICS", 2)
    assert set(feature_report.metrics(page)) == {
        *("people", "contents", "features"),
        *(f"{what}.{name}" for what in ("coverage", "psi") for name in ("events_7d", "tenure_days")),
    }


def test_a_sample_of_a_large_night_is_enough(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quantiles and index of every tenth row are near; coverage is exact."""
    whole = row(made(config, people(1), people(2)), "purchase_recency_days")
    monkeypatch.setattr(feature_report, "_MOST", 300)
    part = row(made(config, people(1), people(2)), "purchase_recency_days")
    assert whole.now is not None
    assert part.now is not None
    assert part.now.coverage == whole.now.coverage
    assert part.now.median == pytest.approx(whole.now.median, rel=0.3)


# ---------------------------------------------------------------- pictures


@given(
    st.lists(st.floats(allow_infinity=False) | st.integers(-3, 40).map(float), min_size=1, max_size=80),
    st.none() | st.lists(st.floats(allow_infinity=False) | st.just(0.0), min_size=1, max_size=80),
)
def test_every_row_is_in_one_bar(now: list[float], before: list[float] | None) -> None:
    """Whatever the values: the bars of a night add up to all its rows, and the drawing is well-formed."""
    earlier = None if before is None else np.array(before)
    drawn = bins.histogram(np.array(now), earlier)
    if drawn is None:
        assert all(map(math.isnan, [*now, *(before or ())]))
        return
    assert sum(drawn.now) + sum(one.now for one in drawn.apart) == pytest.approx(1)
    if drawn.before is not None:
        assert sum(drawn.before) + sum(one.before or 0 for one in drawn.apart) == pytest.approx(1)
    assert 1 <= len(drawn.now) <= 64
    assert len(drawn.labels or drawn.edges[1:]) == len(drawn.now)
    for svg in (charts.histogram(drawn), charts.sparkline(drawn)):
        ET.fromstring(svg)
        assert not re.search("nan|inf", svg)


def test_many_zeros_stand_apart() -> None:
    """Of a count that is 0 for 95 % the others are still bars that can be told apart, and the share is written."""
    values = np.concatenate([np.zeros(950), np.repeat([1.0, 2.0, 3.0], [30, 15, 5])])
    drawn = bins.histogram(values, values[::2])
    assert drawn is not None
    (zero,) = drawn.apart
    assert (zero.label, zero.now, zero.first) == ("0", 0.95, True)
    assert drawn.labels == ("1", "2", "3")
    assert [text.text for text in ET.fromstring(charts.histogram(drawn)).iter(f"{SVG}text")] == [
        "95 %", "0", "1", "2", "3",
    ]  # fmt: skip


def test_long_tails_have_steps_that_grow() -> None:
    """Whole numbers in doubling steps, the rest on a logarithmic scale that says so; missing values stand right."""
    rng = np.random.default_rng(1)
    whole = bins.histogram(np.ceil(rng.lognormal(1, 1.6, 2000)), None)
    assert whole is not None
    assert whole.labels[:4] == ("1", "2", "3\N{EN DASH}4", "5\N{EN DASH}8")
    money = bins.histogram(np.append(rng.lognormal(3, 2, 2000), [np.nan] * 500), None)
    assert money is not None
    assert money.log
    assert [(one.label, one.first, round(one.now, 2)) for one in money.apart] == [("none", False, 0.2)]
    assert "logarithmic scale" in charts.histogram(money)


def test_whole_numbers_make_no_comb() -> None:
    """Every step holds as many whole numbers as the next: an even spread gives even bars."""
    drawn = bins.histogram(np.arange(1, 61, dtype=float), None)
    assert drawn is not None
    assert len(set(np.round(drawn.now, 6))) == 1


@given(st.floats(-14, 6), st.floats(0.1, 20), st.booleans())
def test_numbers_below_bars_do_not_lie_upon_each_other(low: float, decades: float, log: bool) -> None:
    """However far the bars reach: 6.2 is the width of a digit."""
    bars = charts.Histogram([0.1] * 10, edges=np.logspace(low, low + decades, 11).tolist(), log=log)
    below = [one for one in ET.fromstring(charts.histogram(bars)).iter(f"{SVG}text") if one.get("y") == "145.0"]
    ends = [(float(one.get("x") or ""), 3.1 * len(one.text or "")) for one in below]
    assert all(x + half < right - other for (x, half), (right, other) in pairwise(ends))
    assert below or log


# ---------------------------------------------------------------- the page


def test_the_page_stands_alone(config: Config) -> None:
    """Nothing is fetched or run, every tag is closed, links lead to places on the page, ids are unique."""
    page = features_page(made(config, people(1), people(2), importance={"click": {"events_7d": 1.0}}))
    reader = Reader(page)
    assert reader.open == []
    assert not {"script", "link", "img", "iframe"} & set(reader.tags)
    assert set(re.findall(r"[a-z]+://[^\"' <]+|url\([^)]*\)|@import", page)) <= {"http://www.w3.org/2000/svg"}
    ids = re.findall(r'id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)
    assert {"person-events_7d", "content-people_7d"} <= set(ids)


def test_every_feature_is_on_the_page(config: Config) -> None:
    """With its meaning, how it is measured, how far back it looks, and its share of gain by goal."""
    now = people(1)
    page = features_page(made(config, now, people(2), importance={"click": {"events_7d": 0.25}}))
    for feature in spec.features(config.goals):
        assert re.search(rf"\b{feature.name}\b", page), feature.name
    card = re.sub(r"<[^>]+>", " ", page[page.index('id="person-events_7d"') :].split('<div class="card"')[0])
    for words in ("Things done in 7 days.", "Counts the things done", "Looks back: 7 days.", "PSI", "click 25.0 %"):
        assert words in card


def test_a_first_night_is_compared_with_nothing(config: Config) -> None:
    """No column for movement, no outline, and a headline that says so."""
    page = features_page(made(config, people(1)))
    assert "none before it to be compared with" in page
    assert "PSI" not in page.split("<main>")[1].split("One by one")[0]
    assert 'class="then"' not in page


def test_an_empty_night_is_still_a_page(config: Config) -> None:
    """Nobody is known yet, or was known then."""
    nobody, nothing = people(1).slice(0, 0), contents(1).slice(0, 0)
    listed = feature_report.listed(nobody, config)
    for reference in (None, Reference(EARLIER, nobody, nothing, "x"), Reference(EARLIER, people(1), contents(1), "x")):
        page = features_page(feature_report.page(NIGHT, nobody, nothing, listed, reference, {}, config))
        assert Reader(page).open == []
    backwards = Reference(EARLIER, nobody, nothing, "x")
    page = features_page(feature_report.page(NIGHT, people(1), contents(1), listed, backwards, {}, config))
    assert Reader(page).open == []


def test_names_are_only_ever_text() -> None:
    """Categories come from a catalogue: a name that is HTML shows as written."""
    values = Values(3, 1.0, 0.0, 1.0, 2.0)
    bars = charts.Histogram([0.5, 0.5], [0.4, 0.6], labels=[HOSTILE, HOSTILE], apart=[charts.Apart(HOSTILE, 0.1)])
    one = FeatureRow(
        *(HOSTILE,) * 6, now=values, before=values, psi=3.0, picture=bars, tenths=bars, importance={HOSTILE: 0.5}
    )  # fmt: skip
    page = FeaturePage(HOSTILE, HOSTILE, 1, 1, [one, replace(one, constant=True)], HOSTILE, 1, 1, HOSTILE, [HOSTILE])
    html = features_page(page)
    assert "<script" not in html.lower()
    assert Reader(html).open == []


# ---------------------------------------------------------------- the night


def test_the_reference_is_the_champions_night_if_the_lake_has_it(house: House) -> None:
    """Else the earliest night before this one; a night that has only one of the tables is none."""
    lake = house.lake
    assert feature_report.reference(lake, NIGHT, None) is None
    for night in (EARLIER, EARLIER + DAY, NIGHT):
        lake.replace_night("person_features", people(1), night)
    for night in (EARLIER + DAY, EARLIER + 2 * DAY, NIGHT):
        lake.replace_night("content_features", contents(1), night)
    assert feature_report.reference(lake, EARLIER + DAY, None) is None
    lake.replace_night("person_features", people(1), EARLIER + 2 * DAY)
    earliest = feature_report.reference(lake, NIGHT, None)
    assert earliest is not None
    assert (earliest.night, earliest.why) == (EARLIER + DAY, "the earliest night in the lake")
    assert earliest.people.num_rows == PEOPLE
    nights = [(EARLIER + i * DAY).isoformat() for i in range(3)]
    for trained, found in ((nights, EARLIER + 2 * DAY), (nights[:1], EARLIER + DAY), ([], EARLIER + DAY)):
        bundle: Any = SimpleNamespace(context={"nights": trained})
        chosen = feature_report.reference(lake, NIGHT, bundle)
        assert chosen is not None
        assert chosen.night == found
    assert "champion's last training night" in feature_report.reference(
        lake, NIGHT, SimpleNamespace(context={"nights": nights})  # type: ignore[arg-type]
    ).why  # type: ignore[union-attr]  # fmt: skip


def test_a_night_is_kept_once_with_its_champion(tmp_path: Path) -> None:
    """The run has the page and the figures; the same night again stays one run; the champion's gain is on the page."""
    house = House(tmp_path)
    config, lake = house.configure(GOALS), house.lake
    lake.replace_night("person_features", people(1), EARLIER)
    lake.replace_night("content_features", contents(1), EARLIER)
    first = feature_report.run(NIGHT, people(2), contents(2), config, missing=["No CRM was loaded."])
    assert (first.champion, first.reference) == (None, "2026-06-24 00:00, the earliest night in the lake")

    names = spec.names(config.goals)
    x = np.zeros((200, len(names)), np.float32)
    x[::2, names.index("events_7d")] = 5
    matrix = classifier.matrix(x, names, (x.max(axis=1) > 0).astype(float))
    booster = classifier.train(matrix, matrix, {"max_depth": 1}, 1, 5, seed=1)
    bundle = Bundle({"click": GoalModel.of("click", booster, {})}, {"click": 1.0}, {"nights": [EARLIER.isoformat()]})
    tracker = Tracker(lake.tracking, config.project.name)
    version = tracking.log_training(tracker, TrainingRecord(EARLIER + DAY, ("click",), bundle.to_files()))
    registry.promote(tracker, version, EARLIER + DAY)
    again = feature_report.run(NIGHT, people(2), contents(2), config)
    assert again.champion == "version 1, trained for 2026-06-25"
    assert again.reference == "2026-06-24 00:00, the champion's last training night"
    assert row(again, "events_7d").importance == {"click": 1.0}
    (page,) = lake.tracking.rglob("features.html")
    assert "version 1, trained for" in page.read_text(encoding="utf-8")
