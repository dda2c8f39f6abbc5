"""The decision to retrain: each arm with its sentence, at a company whose days are alike until its people change."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deltalake import DeltaTable

from features import rfm, spec
from models import classifier
from models.classifier import Bundle, GoalModel
from pipeline import check_drift, ingest, rank, tracking
from pipeline.build_features import NightFeatures, goals_of
from pipeline.check_drift import DriftReport
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.night import Archive
from pipeline.records import Tracker, TrainingRecord
from pipeline.sections import Goal
from tests.pipeline.ranking import read_ranked
from tests.pipeline.small import House

AS_OF = datetime(2026, 7, 1, tzinfo=UTC)
DAY = timedelta(days=1)
PEOPLE, DAYS, CHANGED = 40, 40, 2
SETTINGS = """
[[sources]]
name = "log"
format = "table"
table = "events"
path = "log.csv"
[goals.click]
events = ["click"]
[drift]
nights = 2
"""


def write_log(house: House, *, changes: bool) -> None:
    """Everybody does the same every day; half the people have a mobile, and in the end all if anything `changes`."""
    rows = [
        {
            "ts": (AS_OF - back * DAY + timedelta(hours=9 + visit)).isoformat(),
            "visitor_id": f"v{person}",
            "content_id": f"c{(person + visit) % 12}",
            "event": ("view", "click")[visit % 2],
            "device": "mobile" if person % 2 or (changes and back <= CHANGED) else "desktop",
        }
        for back in range(DAYS, 0, -1)
        for person in range(PEOPLE)
        for visit in range(1 + person % 5)
    ]
    house.write_csv("log.csv", rows)


def bundle(config: Config, house: House, trained: datetime) -> Bundle:
    """A model of one split, on who has a mobile, as if trained on the two nights before the last it could know."""
    names = spec.names(config.goals)
    x = np.zeros((200, len(names)), np.float32)
    x[::2, names.index("mobile_share")] = 0.04
    matrix = classifier.matrix(x, names, (x.max(axis=1) > 0).astype(float))
    booster = classifier.train(matrix, matrix, {"max_depth": 1}, 1, 5, seed=1)
    nights = [trained - 3 * DAY, trained - 2 * DAY]
    people = [NightFeatures.of(Archive.load(house.lake, config, night).night(night), config).people for night in nights]
    context = {
        "nights": [night.isoformat() for night in nights],
        "cuts": rfm.cut_points(people),
        "goals": goals_of(config),
    }
    return Bundle({"click": GoalModel.of("click", booster, {})}, {"click": 1.0}, context)


@dataclass(frozen=True)
class Company:
    """A house with a champion that was trained some nights ago."""

    house: House
    trained: datetime

    def config(self, more: str = "", state: str = "state") -> Config:
        """Its configuration; another `state` knows no champion."""
        return self.house.configure(f'state = "{state}"\n{SETTINGS}{more}')

    def decide(self, as_of: datetime = AS_OF, *, retrain: bool = False, **config: str) -> DriftReport:
        """The night's decision."""
        return check_drift.run(as_of, self.config(**config), retrain=retrain)


def company(folder: Path, *, changes: bool) -> Company:
    """Ingested, and with a champion of two nights ago."""
    one = Company(House(folder), AS_OF - CHANGED * DAY)
    write_log(one.house, changes=changes)
    config = one.config()
    ingest.run(AS_OF, config)
    tracker = Tracker(one.house.lake.tracking, config.project.name)
    files = bundle(config, one.house, one.trained).to_files()
    version = tracking.log_training(tracker, TrainingRecord(as_of=one.trained, goals=("click",), files=files))
    tracking.promote(tracker, version, one.trained)
    return one


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Company:
    """A company where nothing changes."""
    return company(tmp_path_factory.mktemp("steady"), changes=False)


@pytest.fixture(scope="module")
def shifted(tmp_path_factory: pytest.TempPathFactory) -> Company:
    """A company whose people all took to their mobiles after the champion was trained."""
    return company(tmp_path_factory.mktemp("shifted"), changes=True)


def arms(report: DriftReport) -> dict[str, tuple[bool, str]]:
    """Whether each arm fired, and what it says."""
    return {arm["name"]: (arm["fired"], arm["detail"]) for arm in report.arms}


def test_nothing_calls_for_a_new_model(steady: Company) -> None:
    """Where every day is like the last, the champion stays, and each arm says why it is silent."""
    report = steady.decide()
    assert (report.retrain, report.verdict) == (False, "The champion stays: nothing calls for a new model.")
    assert (report.champion, report.drifted) == ("1", ())
    assert arms(report) == {
        "asked for": (False, "nobody asked."),
        "always": (False, "retrain.when is needed."),
        "no champion": (False, "version 1 serves."),
        "goals": (False, "the champion was trained for these goals."),
        "age": (False, "the champion is 2.0 days old; 30 are allowed."),
        "drift": (False, f"0 of {len(report.features)} distributions moved: none."),
    }
    assert "score" in {feature["name"] for feature in report.features}


def test_people_who_changed_are_drift(shifted: Company) -> None:
    """The feature that moved is named with its index, and with it the scores that depend on it."""
    report = shifted.decide()
    assert report.retrain
    assert set(report.drifted) == {"mobile_share", "score"}
    assert report.verdict.startswith(f"Train a challenger: 2 of {len(report.features)} distributions moved: ")
    assert "mobile_share (PSI " in report.verdict


def test_the_decision_does_not_depend_on_when_it_is_taken(shifted: Company) -> None:
    """The same night decided again is the same decision, to the last digit."""
    assert shifted.decide() == shifted.decide()


def test_an_old_champion_is_challenged(steady: Company) -> None:
    """At its greatest age, not a day later, a champion has to prove itself."""
    report = steady.decide(more="[retrain]\nmax_age_days = 2\n")
    assert (report.retrain, report.verdict) == (
        True,
        "Train a challenger: the champion is 2.0 days old; 2 are allowed.",
    )
    assert not steady.decide(more="[retrain]\nmax_age_days = 2.1\n").retrain


def test_somebody_asked(steady: Company) -> None:
    """--retrain trains whatever the settings say."""
    report = steady.decide(retrain=True, more='[retrain]\nwhen = "never"\n')
    assert (report.retrain, report.verdict) == (True, "Train a challenger: somebody asked for it (--retrain).")


def test_always(steady: Company) -> None:
    """A company may want a challenger every night."""
    report = steady.decide(more='[retrain]\nwhen = "always"\n')
    assert (report.retrain, report.verdict) == (True, "Train a challenger: retrain.when is always.")


def test_no_champion(steady: Company) -> None:
    """Without a model there is nothing to compare, and something to train."""
    report = steady.decide(state="empty")
    assert (report.retrain, report.verdict) == (True, "Train a challenger: there is no champion yet.")
    assert report.champion is None
    assert arms(report)["drift"] == (False, "not tested: there is no champion to compare with.")
    assert arms(report)["age"] == arms(report)["goals"] == (False, "there is no champion yet.")


def test_never(steady: Company) -> None:
    """Where a company never wants to train, the reason that there would have been is still told."""
    report = steady.decide(state="empty", more='[retrain]\nwhen = "never"\n')
    assert (report.retrain, report.verdict) == (
        False,
        "No training, because retrain.when is never; otherwise: there is no champion yet.",
    )


def test_a_young_champion_is_not_tested_yet(steady: Company) -> None:
    """Fewer nights than the comparison wants since the training: no drift is claimed, and none denied."""
    report = steady.decide(AS_OF - DAY)
    assert not report.retrain
    assert arms(report)["drift"][1] == "not tested: 1 nights since the champion was trained; 2 are needed."


def test_a_champion_of_other_goals_cannot_be_compared(steady: Company) -> None:
    """Another goal gives other features: they are not compared column by column with what they are not."""
    report = steady.decide(more='[goals.like]\nevents = ["like"]\n')
    assert arms(report)["drift"][1] == "not tested: the champion was trained for other goals or features."


def test_the_decision_is_written_down(shifted: Company) -> None:
    """In the lake and in MLflow as JSON, and as a page that a person can read: all three say the same."""
    report = shifted.decide()
    rows = DeltaTable(shifted.house.lake.path("decisions")).to_pyarrow_table().to_pylist()
    kept: dict[str, Any] = json.loads(next(row["decision"] for row in rows if row["night"] == "2026-07-01T000000Z"))
    assert kept == report.to_json()
    (recorded,) = shifted.house.lake.tracking.rglob("decision.json")
    assert json.loads(recorded.read_text(encoding="utf-8")) == kept
    page = recorded.with_name("decision.html").read_text(encoding="utf-8")
    assert report.verdict in page
    assert "mobile_share" in page


def test_other_goals_call_for_another_model(steady: Company) -> None:
    """A goal that was added or redefined cannot be scored by the champion: train, and until then refuse to rank."""
    asked = '[goals.read]\nevents = ["view"]\n'
    report = steady.decide(more=asked)
    assert report.retrain
    assert report.verdict == "Train a challenger: the champion was trained for other goals or features."
    with pytest.raises(ShortlistError, match=r"version 1 was trained for other goals or features .* now \(click\)"):
        rank.run(AS_OF, steady.config(more=asked))


def test_a_weight_needs_no_training(steady: Company) -> None:
    """A marketer who doubles a goal's weight doubles tonight's scores, and the champion stays."""
    scores = []
    for weight in (1, 2):
        config = steady.config().model_copy(update={"goals": {"click": Goal(events=("click",), weight=weight)}})
        assert not check_drift.run(AS_OF, config).retrain
        rank.run(AS_OF, config)
        scores.append(np.array(read_ranked(steady.house.lake, AS_OF)["people"]["score"]))
    assert scores[1] == pytest.approx(2 * scores[0])
    assert scores[0].min() > 0
