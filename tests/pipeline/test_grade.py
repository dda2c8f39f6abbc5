"""Grades: what published lists were worth, by hand for six people, and never before the outcome is whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import log, log2
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from mlflow import MlflowClient

from expectations import schemas
from pipeline import grade, ingest, snapshot
from pipeline.config import Config
from pipeline.night import Archive
from pipeline.records import Tracker
from pipeline.snapshot import Ranked
from tests.pipeline.nights import facts
from tests.pipeline.small import House

NIGHT = datetime(2026, 7, 1, tzinfo=UTC)
RIPE = NIGHT + timedelta(days=2)
GOALS = ("like", "click")
SETTINGS = """
[[sources]]
name = "log"
format = "table"
table = "events"
path = "log.csv"
[[sources]]
name = "cms"
format = "table"
table = "content"
path = "cms.csv"
[goals.like]
events = ["like"]
weight = 1.0
horizon_days = 1
[goals.click]
events = ["click"]
weight = 0.5
horizon_days = 2
"""

BEFORE = {"a": ["c0"], "b": ["c0"], "c": ["c0"], "d": ["c0", *["c1"] * 3, *["c2"] * 2, "c3"], "f": ["c0"]}
BEFORE |= {"g": ["c0"]}  # and nothing after
"""What each has looked at before the night: c0 is most popular, then c1, c2, c3; nobody knows c4."""

AFTER = [
    ("a", "like", "c2", 10),
    ("a", "like", "ghost", 11),  # in no catalogue: no list could have held it
    ("b", "like", "c1", 10),
    ("b", "click", "c3", 34),  # on the second day, which is in time for a click
    ("c", "like", "c2", 34),  # on the second day, which is too late for a like
    ("d", "like", "c1", 10),  # known to d already: never listed again
    ("f", "like", "c3", 23),
    ("e", "like", "c2", 10),  # first seen after the night
]
"""Person, event, content, hours after the night."""

LISTS = {"a": ["c2", "c1", "c3"], "b": ["c4", "c3", "c1"], "c": ["c1", "c2"], "d": ["c4"], "f": ["c1", "c2"]}


@pytest.fixture
def house(tmp_path: Path) -> House:
    """The company with all its events, ingested after the outcome was whole; nothing is published yet."""
    house = House(tmp_path)
    looked = [(p, "view", c, -36 + i / 60) for p, seen in BEFORE.items() for i, c in enumerate(seen)]
    house.write_csv(
        "log.csv",
        [
            {"ts": (NIGHT + timedelta(hours=h)).isoformat(), "visitor_id": p, "event": event, "content_id": c}
            for p, event, c, h in [*looked, *AFTER]
        ],
    )
    house.write_csv(
        "cms.csv",
        [{"content_id": f"c{i}", "status": "published", "published_at": "2026-06-01T00:00:00Z"} for i in range(5)],
    )
    ingest.run(RIPE, configured(house))
    return house


def configured(house: House, more: str = "") -> Config:
    """The company's configuration."""
    return house.configure(SETTINGS + more)


def publish(
    house: House,
    lists: Mapping[str, Sequence[str]],
    as_of: datetime = NIGHT,
    p_like: Mapping[tuple[str, str], float] | None = None,
) -> None:
    """Let these lists be the published ones; with `p_like`, 0.1 where it says nothing, as if a model had made them."""
    forms = schemas.published(GOALS)
    rows = [
        {
            **_filled(as_of, rank),
            "person_id": person,
            "id_type": "visitor",
            "content_id": content,
            "p_like": None if p_like is None else p_like.get((person, content), 0.1),
        }
        for person, contents in lists.items()
        for rank, content in enumerate(contents, start=1)
    ]
    one = {**_filled(as_of, 1), "content_id": "c0", "segment": "any"}
    tables = {
        name: pa.Table.from_pylist(rows if name == "people" else [one], schema=form.schema)
        for name, form in forms.items()
    }
    snapshot.commit(house.lake.rankings, snapshot.stage(house.lake.rankings, Ranked(**tables), facts(), as_of))


def _filled(as_of: datetime, rank: int) -> dict[str, object]:
    said = {"strategy": "model", "candidate_source": "trending", "reason": "why", "segment": "new"}
    return {**said, "rank": rank, "score": 1 / rank, "model_version": "1", "as_of": as_of}


def discount(rank: int) -> float:
    """What a hit at this rank is worth (Järvelin & Kekäläinen 2002)."""
    return 1 / log2(rank + 1)


def test_the_grade_is_the_one_computed_by_hand(house: House) -> None:
    """NDCG@10 with goal weights as gains, over those who wanted something that a list could have held."""
    publish(house, LISTS)
    (found,) = grade.run(RIPE, configured(house)).graded
    best_of_b = 1.0 + 0.5 * discount(2)
    ours = [1.0, (0.5 * discount(2) + 1.0 * discount(3)) / best_of_b, 0.0]
    popular = [discount(2), (1.0 + 0.5 * discount(3)) / best_of_b, discount(3)]
    assert found.people == 3
    assert found.ndcg_10 == pytest.approx(sum(ours) / 3)
    assert found.most_popular == pytest.approx(sum(popular) / 3)
    assert found.hit_rate_10 == pytest.approx(2 / 3)
    mean, low, high = found.difference
    assert mean == pytest.approx((sum(ours) - sum(popular)) / 3)
    assert low <= mean <= high
    (difference,) = [one for one in found.figures if one.metric == "ndcg_10.difference"]
    assert (difference.value, difference.low, difference.high) == (mean, low, high)
    (lift,) = [one for one in found.figures if one.metric == "ndcg_10.lift"]
    assert lift.value == pytest.approx(sum(ours) / sum(popular))
    assert lift.low <= lift.value <= lift.high


def test_probabilities_are_graded_by_hand(house: House) -> None:
    """Over published rows of who did something: 11 of a, b, c, d and f, not those of g and of z, whom nobody knows.

    A like in time came of two and a click of one; lists that no model made promise nothing, so no figure is of them.
    """
    promised = {("a", "c2"): 0.8, ("b", "c1"): 0.3, ("c", "c2"): 0.5}
    publish(house, {**LISTS, "g": ["c1"], "z": ["c1"]}, p_like=promised)
    (found,) = grade.run(RIPE, configured(house)).graded
    figures = {one.metric: one for one in found.figures}
    assert {name for name in figures if name.startswith("click.")} == set()
    assert figures["like.expected"].value == pytest.approx((0.8 + 0.3 + 0.5 + 8 * 0.1) / 11)
    assert figures["like.observed"].value == pytest.approx(2 / 11)
    assert figures["like.auc"].value == pytest.approx((9 + 8) / 18)
    losses = [-log(0.8), -log(0.3), -log(0.5), *[-log(0.9)] * 8]
    assert figures["like.log_loss"].value == pytest.approx(sum(losses) / 11)
    assert figures["like.ece"].value == pytest.approx((0.2 + 0.7 + 0.5 + 8 * 0.1) / 11)
    assert {one.n for name, one in figures.items() if name.startswith("like.")} == {2}
    assert {one.segment for one in found.figures} == {None}  # five people are no segment


def test_only_what_was_shown_counts_where_impressions_are_logged(house: House) -> None:
    """A probability is of engaging if shown: of a's rows the one that was shown, and of b's what b turned to."""
    rows = (house.folder / "log.csv").read_text()
    shown = (NIGHT + timedelta(hours=9)).isoformat()
    (house.folder / "log.csv").write_text(f"{rows}{shown},a,impression,c1\n")
    config = configured(house)
    ingest.run(RIPE, config)
    publish(house, LISTS, p_like={})
    (found,) = grade.run(RIPE, config).graded
    figures = {one.metric: one.value for one in found.figures}
    assert figures["like.observed"] == pytest.approx(2 / 5)  # a: c2, c1; b: c3, c1; c: c2


def test_how_many_people_are_looked_at_together_changes_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Most-popular is listed for some people at a time: five contents can be listed, so here one person or two."""
    publish(house, LISTS)
    config = configured(house)
    path = snapshot.resolve(house.lake.rankings)
    archive = Archive.load(house.lake, config, RIPE)
    whole = grade._grade(path, NIGHT, archive, config)
    for cells in (1, 10):
        monkeypatch.setattr(grade, "BLOCK_CELLS", cells)
        assert grade._grade(path, NIGHT, archive, config) == whole


def test_a_list_may_hold_what_is_known_if_the_company_says_so(house: House) -> None:
    """With `hide_engaged = false` d wanted c1 too, which d's list does not hold."""
    publish(house, LISTS)
    (found,) = grade.run(RIPE, configured(house, "[ranking]\nhide_engaged = false\n")).graded
    assert found.people == 4


def test_perfect_lists_get_one(house: House) -> None:
    """Whoever gets all they wanted, best first, is worth 1, whatever else the list holds below."""
    publish(house, {"a": ["c2"], "b": ["c1", "c3", "c4"], "f": ["c3", "c4"]})
    (found,) = grade.run(RIPE, configured(house)).graded
    assert (found.ndcg_10, found.hit_rate_10) == (1.0, 1.0)


def test_never_before_the_longest_horizon_has_passed(house: House) -> None:
    """A click may come two days later: until then there is no grade, and the note says so."""
    publish(house, LISTS)
    early = grade.run(RIPE - timedelta(microseconds=1), configured(house))
    assert (early.graded, early.note) == ((), "no published table has an outcome that matured and was not graded yet")
    assert not house.lake.nights("grades")
    assert len(grade.run(RIPE, configured(house)).graded) == 1


def test_never_before_the_slowest_source_could_tell(house: House) -> None:
    """A source that tells of a click an hour later lets every grade wait for that hour."""
    publish(house, LISTS)
    slow = house.configure(SETTINGS.replace('path = "log.csv"', 'path = "log.csv"\ndelay_minutes = 60'))
    late = RIPE + timedelta(hours=1)
    assert grade.run(late - timedelta(microseconds=1), slow).graded == ()
    assert len(grade.run(late, slow).graded) == 1


def test_a_lake_with_older_grades_takes_the_new_columns(house: House) -> None:
    """Nights that were graded before intervals and segments were kept stay, and are not graded again."""
    old = NIGHT - timedelta(days=1)
    house.lake.replace_night("grades", pa.table({"metric": ["ndcg_10"], "value": [0.5]}), old)
    publish(house, LISTS, old)
    publish(house, LISTS)
    assert len(grade.run(RIPE, configured(house)).graded) == 1
    kept = DeltaTable(house.lake.path("grades")).to_pyarrow_table().to_pylist()
    assert [row["value"] for row in kept if row["n"] is None] == [0.5]
    assert {row["n"] for row in kept if row["metric"] == "ndcg_10"} == {None, 3}


def test_grading_twice_is_once(house: House) -> None:
    """A night that has its grade is left alone: neither lake nor MLflow feel the second time."""
    publish(house, LISTS)
    config = configured(house)
    (first,) = grade.run(RIPE, config).graded
    table = DeltaTable(house.lake.path("grades"))
    kept = {row["metric"]: row["value"] for row in table.to_pyarrow_table().to_pylist()}
    assert kept == pytest.approx(
        {
            "ndcg_10": first.ndcg_10,
            "ndcg_10.most_popular": first.most_popular,
            "ndcg_10.difference": first.difference[0],
            "ndcg_10.lift": first.ndcg_10 / first.most_popular,
            "hit_rate_10": first.hit_rate_10,
            "people": 3.0,
        }
    )
    recorded = points(house, config)
    assert grade.run(RIPE + timedelta(days=1), config).graded == ()
    assert DeltaTable(house.lake.path("grades")).version() == table.version()
    assert points(house, config) == recorded == {metric: [value] for metric, value in kept.items()}


def points(house: House, config: Config) -> dict[str, list[float]]:
    """What MLflow draws of the grades: each metric's values."""
    tracker = Tracker(house.lake.tracking, config.project.name)
    client = MlflowClient(tracking_uri=tracker.uri)
    experiment = client.get_experiment_by_name(f"{config.project.name}-grades")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    return {name: [m.value for m in client.get_metric_history(run.info.run_id, name)] for name in run.data.metrics}


def test_nobody_to_grade_on_is_no_grade(house: House) -> None:
    """A night after which nobody did anything is not a bad night: it has no grade, and the others have theirs."""
    publish(house, LISTS)
    publish(house, LISTS, NIGHT + timedelta(days=30))
    report = grade.run(NIGHT + timedelta(days=32), configured(house))
    assert [one.as_of for one in report.graded] == [NIGHT.isoformat()]
    assert report.note == "1 of 2 matured tables had somebody to grade them on"
    assert house.lake.nights("grades") == [NIGHT]
