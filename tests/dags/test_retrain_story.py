"""A company's nights by the real DAGs: a champion, quiet, people who change, a new model, and broken exports.

The world is simulated with `--shift`. What was decided is read from the lake, night by night, as anybody would.
"""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline import alert_state, config, decisions, snapshot
from pipeline.lake import Lake
from tests import worlds
from tests.worlds import World
from tests.zygote import Zygote

FIRST = datetime(2026, 6, 17, tzinfo=UTC)
QUIET, DIPPED, RETRAINED, BROKEN = 2, 3, 6, 7
"""Nights after the first; others did not run. The quiet night's lists serve on the day on which people change."""

ATTRIBUTE = "Lifecycle Stage"

SETTINGS = """
[project]
name = "story"
development_key = true

[[sources]]
name = "web"
format = "ga4"
path = "exports/ga4/events_{date:%Y%m%d}.parquet"
late_days = 0

[[sources]]
name = "crm"
format = "hubspot"
path = "exports/hubspot/contacts_{date:%Y%m%d}.csv"
late_days = 0

[[sources]]
name = "catalogue"
format = "wordpress"
path = "exports/wordpress/posts_{date:%Y%m%d}.json"
late_days = 0

[goals.click]
events = ["click"]

[ranking]
k = 10

[training]
nights = 7
warm_up_days = 3
trials = 1
seconds = 600   # a budget that never binds: the same nights are then the same story
challengers = []

[retrain]
cool_down_days = 3
dip_nights = 1

[drift]
nights = 1
people = 300
floor = 0.4     # a night is held against one night, not three against three: they differ by more
"""


@dataclass(frozen=True)
class Run:
    """What is left of a `shortlist run`: exit code and output, the night's decision, and what serves after it.

    `tasks` are the states of the tasks of `personalize`, `alerts` the ids of the causes that hold.
    """

    code: int
    said: str
    decision: Mapping[str, Any]
    serves: str
    tasks: Mapping[str, str]
    alerts: frozenset[str]

    @property
    def answer(self) -> Mapping[str, Any]:
        """What `--json` wrote."""
        found: Mapping[str, Any] = json.loads(self.said.splitlines()[-1])
        return found

    def arm(self, name: str) -> Mapping[str, Any]:
        """One arm of the decision."""
        return next(arm for arm in self.decision["arms"] if arm["name"] == name)


@dataclass(frozen=True)
class Story:
    """Every run of it: by its night, the last one on a broken export as well."""

    world: World
    runs: Mapping[int | str, Run]

    def gain(self, night: int) -> float:
        """By how much the lists of a night were better than most-popular's: NDCG@10, as graded when it was known."""
        rows = lake_of(self.world).read_night("grades", FIRST + timedelta(days=night)).to_pylist()
        found = {row["metric"]: row["value"] for row in rows if row["segment"] is None}
        return float(found["ndcg_10"] - found["ndcg_10.most_popular"])


def lake_of(world: World) -> Lake:
    """The company's."""
    return Lake.of(config.load(world.config))


def company(folder: Path) -> World:
    """Sixteen days of exports before the first night, and one a night; the truth lies out of reach."""
    folder.mkdir()
    shift, last = ((FIRST + timedelta(days=days)).date().isoformat() for days in (QUIET, BROKEN - 1))
    size = ("--days", "23", "--people", "1500", "--content", "120", "--seed", "3", "--end", last, "--shift", shift)
    worlds.simulated(folder, {}, *size)
    worlds.only_newest(folder / "exports", ("hubspot", "wordpress"), days=7 + 1 + BROKEN)
    worlds.configured(folder, {}, SETTINGS)
    return World(folder, "")


def run(world: World, zygote: Zygote, night: int, log: Path) -> Run:
    """One night, and what came of it."""
    as_of, lake = FIRST + timedelta(days=night), lake_of(world)
    code = zygote.end(("run", "--as-of", f"{as_of:%Y-%m-%d}", "--json"), log)
    said = log.read_text(encoding="utf-8")
    decision = decisions.of_night(lake, as_of)
    assert decision is not None, said
    causes = alert_state.read(lake.alerts / alert_state.FILE).open
    return Run(
        code,
        said,
        decision,
        snapshot.resolve(world.rankings).name,
        states(lake.airflow / "local" / "airflow.db"),
        frozenset(one.cause.id for one in causes),
    )


def states(database: Path) -> dict[str, str]:
    """What became of each task of the newest run of `personalize`."""
    with closing(sqlite3.connect(database)) as db:
        newest = "SELECT run_id FROM dag_run WHERE dag_id = 'personalize' ORDER BY id DESC LIMIT 1"
        query = f"SELECT task_id, state FROM task_instance WHERE dag_id = 'personalize' AND run_id = ({newest})"
        return dict(db.execute(query).fetchall())


def without_attribute(file: Path) -> None:
    """The CRM's contacts, of which one attribute is exported no more."""
    with file.open(encoding="utf-8", newline="") as read:
        rows = list(csv.DictReader(read))
    with file.open("w", encoding="utf-8", newline="") as written:
        writer = csv.DictWriter(written, [name for name in rows[0] if name != ATTRIBUTE], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(name="story", scope="module")
def _story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The last night is run on a broken export, and once all is well again."""
    place = tmp_path_factory.mktemp("story")
    world = company(place / "company")
    runs: dict[int | str, Run] = {}
    with Zygote(world.config) as zygote:
        for night in (0, QUIET, DIPPED, RETRAINED):
            runs[night] = run(world, zygote, night, place / f"{night}.log")
        file = world.exports / f"hubspot/contacts_{FIRST + timedelta(days=BROKEN - 1):%Y%m%d}.csv"
        whole = file.read_bytes()
        without_attribute(file)
        runs["broken"] = run(world, zygote, BROKEN, place / "broken.log")
        file.write_bytes(whole)
        runs["repaired"] = run(world, zygote, BROKEN, place / "repaired.log")
    return Story(world, runs)


def night_of(name: str) -> int:
    """How many nights after the first a snapshot is."""
    return (datetime.strptime(name.partition("Z-")[0], "%Y-%m-%dT%H%M%S").replace(tzinfo=UTC) - FIRST).days


def test_the_first_night_trains_a_champion(story: Story) -> None:
    """Because there was none."""
    first = story.runs[0]
    assert first.code == 0
    assert first.decision["verdict"] == "Train a challenger: there is no champion yet."
    assert first.answer["train"]["promoted"]
    assert set(first.tasks.values()) == {"success"}


def test_nothing_is_trained_on_a_quiet_night(story: Story) -> None:
    """No arm fires and nothing is held back, and the champion's lists are published."""
    quiet = story.runs[QUIET]
    assert (quiet.code, quiet.decision["retrain"], quiet.decision["blocked"]) == (0, False, False)
    assert quiet.decision["champion"] == "1"
    assert [arm["name"] for arm in quiet.decision["arms"] if arm["fired"]] == []
    assert (quiet.tasks["train"], quiet.tasks["publish"]) == ("skipped", "success")
    assert night_of(quiet.serves) == QUIET
    assert quiet.alerts == set()


def test_people_who_change_are_noticed_when_the_night_is_known(story: Story) -> None:
    """The first night whose outcome knows the change asks for a model, by what people did."""
    noticed = story.runs[DIPPED]
    assert noticed.decision["retrain"]
    assert noticed.arm("performance")["state"] == "fires"
    assert noticed.arm("performance")["figures"]["low"] > noticed.arm("performance")["figures"]["threshold"]
    assert noticed.decision["verdict"] == f"Train a challenger: {noticed.arm('performance')['detail']}"
    assert noticed.tasks["train"] == "success"
    assert "dip performance" in noticed.alerts


def test_who_cannot_know_better_yet_is_refused(story: Story) -> None:
    """A challenger that learned of one day of the new ways does not replace the champion."""
    assert not story.runs[DIPPED].answer["train"]["promoted"]
    assert story.runs[RETRAINED].decision["champion"] == "1"


def test_the_next_challenger_is_promoted(story: Story) -> None:
    """When it learned of enough days it passes the gate, and makes the lists of the same night."""
    retrained = story.runs[RETRAINED]
    assert retrained.arm("performance")["state"] == "fires"
    training = retrained.answer["train"]
    assert training["promoted"], training["reason"]
    assert training["ndcg_10"]["model"] > training["ndcg_10"]["champion"]
    assert retrained.answer["rank"]["model_version"] == training["version"]
    assert story.runs["repaired"].decision["champion"] == training["version"]


def test_the_grade_recovers(story: Story) -> None:
    """The change makes the lists worse than most-popular; the new champion's beat it by half of what they once did."""
    before, after = story.gain(0), story.gain(RETRAINED)
    shifted = [story.gain(night) for night in (QUIET, DIPPED)]
    assert min(shifted) < 0
    assert after > max(shifted)
    assert after > before / 2 > 0


def test_a_broken_export_holds_the_night_back(story: Story) -> None:
    """The DAG fails at the check, nothing after it runs but the alert, and what served yesterday still does."""
    held = story.runs["broken"]
    assert held.code == 1
    assert (held.decision["blocked"], held.decision["retrain"]) == (True, False)
    assert held.arm("data quality")["state"] == "blocks"
    assert "crm_lifecycle_stage: missing" in held.decision["verdict"]
    assert held.decision["verdict"] in " ".join(held.said.split())
    assert held.tasks == {
        "build_features": "success",
        "grade": "success",
        "check_drift": "failed",
        "choose": "upstream_failed",
        "train": "upstream_failed",
        "rank": "upstream_failed",
        "publish": "upstream_failed",
        "alert": "success",
    }
    assert held.serves == story.runs[RETRAINED].serves
    assert "quality data quality" in held.alerts


def test_a_repaired_export_is_published(story: Story) -> None:
    """The same night again replaces its decision, publishes, and ends the alert."""
    repaired = story.runs["repaired"]
    assert (repaired.code, repaired.decision["blocked"]) == (0, False)
    assert repaired.arm("data quality")["state"] == "quiet"
    assert (night_of(repaired.serves), repaired.tasks["publish"]) == (BROKEN, "success")
    assert "quality data quality" not in repaired.alerts
