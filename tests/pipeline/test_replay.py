"""A replay: past nights ranked with what was known then, graded by hand, and no more known than could be."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expectations import schemas
from models import gate, learning
from pipeline import config as configuration
from pipeline import registry, replay
from pipeline.build_features import NightFeatures
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.lake import Lake
from pipeline.night import Archive
from pipeline.records import Tracker
from pipeline.replay_summary import ReplayReport
from pipeline.retraining import Retraining
from tests.pipeline.lakes import END, SETTINGS, Tables, fortnight, garbled, joined, split, written
from tests.pipeline.small import shortlist

DAY = timedelta(days=1)
FIRST, LAST = END - 4 * DAY, END - 3 * DAY
GOALS: Mapping[str, Any] = {
    "click": {"events": ["click"], "weight": 0.2},
    "read": {"events": ["view", "like", "comment"], "weight": 0.5},
}


@dataclass(frozen=True)
class Replayed:
    """A lake, its settings, where its nights' lists lie, and what was reported."""

    config: Config
    lists: Path
    report: ReplayReport


def replayed(folder: Path, found: Tables) -> Replayed:
    """Two nights of these tables."""
    training = {"history_days": 30, "nights": 8, "warm_up_days": 1, "trials": 1, "min_positives": 2, "negatives": 0.5}
    sections = {**SETTINGS, "training": training, "goals": GOALS, "ranking": {"k": 10, "candidates": 8}}
    config = configuration.parse(sections, folder / "shortlist.toml")
    lake = written(found, config)
    lake.replace_source("native_ids", natives(lake), "web")
    return Replayed(config, folder / "lists", replay.run(FIRST, LAST, config, out=folder / "lists"))


def natives(lake: Lake) -> pa.Table:
    """The company's own id of everybody: their pseudonym as text."""
    events = lake.read("events").select(["person_id", "source", "day"]).group_by("person_id", use_threads=False)
    found = events.aggregate([("source", "first"), ("day", "first")])
    ids = found["person_id"]
    known = {
        "id": ids,
        "id_type": pa.array(["visitor"] * len(ids)),
        "native_id": ids.cast(pa.string()),
        "source": pa.array(["web"] * len(ids)),
        "day": found["day_first"],
    }
    schema = schemas.LAKE["native_ids"].schema
    return pa.table([known.get(f.name, pa.nulls(len(ids), f.type)) for f in schema], schema=schema)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    """A replay of the fortnight, in which nobody records impressions."""
    return replayed(tmp_path_factory.mktemp("replay"), fortnight(impressions=False))


def nights(one: Replayed) -> Iterator[tuple[datetime, NightFeatures, Archive]]:
    """The nights as they were."""
    archive = Archive.load(Lake.of(one.config), one.config, LAST + DAY)
    for night in (FIRST, LAST):
        yield night, NightFeatures.of(archive.night(night), one.config), archive


def test_every_night_leaves_a_file_of_lists(one: Replayed) -> None:
    """Ranks from 1 on, each content once a person, the best first."""
    assert sorted(path.name for path in one.lists.iterdir()) == [f"{night:%Y-%m-%d}.parquet" for night in (FIRST, LAST)]
    for path in one.lists.iterdir():
        rows = pq.read_table(path).to_pandas()
        assert {"person_id", "content_id", "rank", "score"} <= set(rows.columns)
        assert len(rows)
        for _, mine in rows.groupby(["person_id", "id_type"]):
            assert mine["rank"].tolist() == list(range(1, len(mine) + 1))
            assert mine["content_id"].is_unique
            assert mine["score"].is_monotonic_decreasing


def test_nobody_is_listed_what_the_night_could_not_know(one: Replayed) -> None:
    """Only content that was published by then."""
    for night, found, _ in nights(one):
        rows = pq.read_table(one.lists / f"{night:%Y-%m-%d}.parquet")
        catalogue = found.history.catalogue
        listed = {name for name, ok in zip(catalogue.ids.to_pylist(), catalogue.listed, strict=True) if ok}
        assert set(rows["content_id"].to_pylist()) <= listed


def test_most_popular_is_worth_what_counting_by_hand_says(one: Replayed) -> None:
    """Readers ever, ties to the smaller id, nothing engaged with before; NDCG over what people then turned to."""
    values = [value for night, found, archive in nights(one) for value in by_hand(night, found, archive, one.config)]
    assert one.report.person_nights == len(values) > 10
    assert one.report.methods["most_popular"]["ndcg_10"]["mean"] == pytest.approx(np.mean(values))


def by_hand(night: datetime, found: NightFeatures, archive: Archive, config: Config) -> Iterator[float]:
    """NDCG@10 of most-popular for everybody of the night who then turned to something new."""
    history, done = found.history, defaultdict[int, set[int]](set)
    for person, content in zip(history.person[history.active], history.content[history.active], strict=True):
        done[int(person)].add(int(content))
    readers = np.bincount([content for mine in done.values() for content in mine], minlength=history.catalogue.size)
    listed = [int(content) for content in np.flatnonzero(history.catalogue.listed)]
    ranked = sorted(listed, key=lambda content: (-readers[content], content))
    usable = archive.usable(pa.array(history.people, pa.int64())).to_pylist()
    for person, worth in turned_to(night, found, archive).items():
        new = {content: gain for content, gain in worth.items() if content in set(listed) - done[person]}
        if new and usable[person]:
            shown = [content for content in ranked if content not in done[person]]
            yield dcg([new.get(content, 0.0) for content in shown]) / dcg(sorted(new.values(), reverse=True))


def turned_to(night: datetime, found: NightFeatures, archive: Archive) -> dict[int, dict[int, float]]:
    """What each person then reached, weighing the sum of the goals."""
    people = {person: at for at, person in enumerate(found.history.people.tolist())}
    contents = {name: at for at, name in enumerate(found.history.catalogue.ids.to_pylist())}
    goals = defaultdict[tuple[int, int], set[str]](set)
    for row in archive.outcome(night, DAY).to_pylist():
        if row["person_id"] in people and row["content_id"] in contents:
            pair = people[row["person_id"]], contents[row["content_id"]]
            goals[pair] |= {goal for goal, rule in GOALS.items() if row["event"] in rule["events"]}
    worth = defaultdict[int, dict[int, float]](dict)
    for (person, content), reached in goals.items():
        if reached:
            worth[person][content] = sum(GOALS[goal]["weight"] for goal in reached)
    return worth


def dcg(gains: Sequence[float]) -> float:
    """Discounted cumulative gain at 10."""
    return float(sum(gain / np.log2(place + 2) for place, gain in enumerate(gains[:10])))


def test_what_is_said_of_methods_agrees_with_what_is_said_of_their_differences(one: Replayed) -> None:
    """On identical rows a difference of means is a mean of differences; intervals hold their means."""
    methods, versus = one.report.methods, one.report.versus
    assert set(versus) == set(methods) - {"shortlist"}
    for rival, by_metric in versus.items():
        for metric, told in by_metric.items():
            ours, theirs = (methods[name][metric]["mean"] for name in ("shortlist", rival))
            assert told["difference"] == pytest.approx(ours - theirs)
            assert told["low"] <= told["difference"] + 1e-12
            assert told["difference"] <= told["high"] + 1e-12
            assert told["ratio"] is None if theirs == 0 else told["ratio"] == pytest.approx(ours / theirs)
    json.dumps(one.report.to_json(), allow_nan=False)


def test_the_future_changes_no_list(one: Replayed, tmp_path: Path) -> None:
    """Everything after the first night is garbled, and its lists are the same to the last byte."""
    past, future = split(fortnight(impressions=False), FIRST)
    rng = np.random.default_rng(3)
    changed = {
        **future,
        **{name: garbled(future[name], rng) for name in ("events", "transactions", "popularity")},
    }
    other = replayed(tmp_path, joined(past, changed))
    name = f"{FIRST:%Y-%m-%d}.parquet"
    assert (other.lists / name).read_bytes() == (one.lists / name).read_bytes()
    assert other.report.methods != one.report.methods


def test_a_model_is_learned_and_none_is_registered(one: Replayed) -> None:
    """The lake's own registry knows nothing of it; the replay's page lies in MLflow."""
    tracker = Tracker(Lake.of(one.config).tracking, one.config.project.name)
    assert one.report.trainings >= 1
    assert registry.versions(tracker) == []
    page = Path(str(one.report.report)).read_text()
    assert "most popular" in page
    assert not (Lake.of(one.config).rankings / "CURRENT").exists()


@pytest.mark.parametrize("promoted", [True, False])
def test_what_would_serve_is_grown_for_who_is_promoted(
    one: Replayed, promoted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A challenger that the gate refuses is dropped as it was judged: nothing more is learned for it."""
    grown: list[str] = []
    anew = learning.anew

    def grown_anew(model: learning.GoalModel, *rest: Any, **named: Any) -> learning.GoalModel:
        grown.append(model.goal)
        return anew(model, *rest, **named)

    monkeypatch.setattr(learning, "anew", grown_anew)
    monkeypatch.setattr(gate, "promote", lambda *_, **__: SimpleNamespace(promote=promoted))
    retraining = Retraining(Archive.load(Lake.of(one.config), one.config, LAST + DAY), one.config)
    assert retraining.decide(LAST) == ("promoted" if promoted else "kept")
    assert (retraining.champion is not None) == promoted == bool(grown)
    if retraining.champion is not None:
        assert set(retraining.champion.anew) == set(retraining.champion.models) == set(grown)


def test_a_night_without_an_outcome_cannot_be_replayed(one: Replayed) -> None:
    """It says until when the lake knows, and what to do."""
    with pytest.raises(ShortlistError, match=r"knows of nothing after .* earlier --to"):
        replay.run(END + 5 * DAY, END + 6 * DAY, one.config)
    with pytest.raises(ShortlistError, match="swap them"):
        replay.run(LAST, FIRST, one.config)


def test_the_command_answers_with_the_report(one: Replayed, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """`--json` is what the step reports, but for how long it took; to a person it names the strongest first."""
    file = tmp_path / "shortlist.toml"
    file.write_text(toml(one.config), encoding="utf-8")
    asked = ("replay", "--config", file, "--from", f"{FIRST:%Y-%m-%d}", "--to", f"{FIRST:%Y-%m-%d}")
    said = shortlist(capsys, *asked, "--json")
    assert {"nights", "person_nights", "methods", "versus"} <= set(said.json)
    assert said.json["nights"] == 1
    assert said.json["person_nights"] < one.report.person_nights


def toml(config: Config) -> str:
    """Settings as a file that names the same lake."""
    lines = [f"[project]\nlake = {str(Lake.of(config).root)!r}\ndevelopment_key = true"]
    for goal, rule in GOALS.items():
        lines.append(f"[goals.{goal}]\nevents = {rule['events']}\nweight = {rule['weight']}")
    return "\n".join([*lines, "[training]\nnights = 4\ntrials = 1\nmin_positives = 2\nwarm_up_days = 1"])
