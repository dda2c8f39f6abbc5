"""The decision to retrain: each arm with its sentence, at a company whose days are alike until its people change."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from features import rfm, spec
from models import classifier
from models.classifier import Bundle, GoalModel
from pipeline import check_drift, ingest, rank, registry, tracking
from pipeline.build_features import NightFeatures, goals_of
from pipeline.check_drift import DriftReport
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.lake import Lake
from pipeline.night import Archive
from pipeline.records import Tracker, TrainingRecord
from pipeline.reports.decision import State
from pipeline.sections import Goal
from tests.pipeline.ranking import read_ranked
from tests.pipeline.small import House

AS_OF = datetime(2026, 7, 1, tzinfo=UTC)
DAY = timedelta(days=1)
PEOPLE, DAYS, CHANGED = 40, 40, 3
SETTINGS = """
[[sources]]
name = "log"
format = "table"
table = "events"
path = "log.csv"
[goals.click]
events = ["click"]
[ranking]
hide_engaged = false
[drift]
nights = 2
"""
Change = Literal["nothing", "devices", "clicks", "export"]


def write_log(house: House, change: Change) -> None:
    """Everybody does the same every day; half the people have a mobile, and those click.

    Since the champion was trained, all have a mobile, or the others click, or tonight's export knows no devices.
    """

    def device(person: int, back: int) -> str | None:
        if change == "export" and back == 1:
            return None
        return "mobile" if person % 2 or (change == "devices" and back <= CHANGED) else "desktop"

    def clicks(person: int, back: int) -> int:
        return int(bool(person % 2) != (change == "clicks" and back <= CHANGED + 1))

    rows = [
        {
            "ts": (AS_OF - back * DAY + timedelta(hours=9 + visit)).isoformat(),
            "visitor_id": f"v{person}",
            "content_id": f"c{(person + visit) % 12}",
            "event": ("view", "click")[visit % 2 and clicks(person, back)],
            "device": device(person, back),
        }
        for back in range(DAYS, 0, -1)
        for person in range(PEOPLE)
        for visit in range(4 + person % 5)
    ]
    house.write_csv("log.csv", rows)


def bundle(config: Config, house: House, trained: datetime, *, on: str = "mobile_share", less: bool = False) -> Bundle:
    """A model of one split, on who has a mobile, as if trained on the two nights before the last it could know.

    Or on something else; with `less` of it as the better sign.
    """
    names = spec.names(config.goals)
    x = np.zeros((200, len(names)), np.float32)
    x[::2, names.index(on)] = 0.04
    matrix = classifier.matrix(x, names, ((x.max(axis=1) > 0) != less).astype(float))
    booster = classifier.train(matrix, matrix, {"max_depth": 1}, 1, 5, seed=1)
    nights = [trained - 3 * DAY, trained - 2 * DAY]
    people = [NightFeatures.of(Archive.load(house.lake, config, night).night(night), config).people for night in nights]
    context = {
        "nights": [night.isoformat() for night in nights],
        "cuts": rfm.cut_points(people),
        "goals": goals_of(config),
        "tested": [(trained - back * DAY).isoformat() for back in (5, 4, 3, 2)],
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

    def tracker(self, **config: str) -> Tracker:
        """Its MLflow."""
        found = self.config(**config)
        return Tracker(Lake.of(found).tracking, found.project.name)

    def promote(self, model: Bundle, trained: datetime, **config: str) -> None:
        """A model that serves from then on."""
        tracker = self.tracker(**config)
        record = TrainingRecord(as_of=trained, goals=("click",), files=model.to_files())
        registry.promote(tracker, tracking.log_training(tracker, record), trained)


def company(folder: Path, change: Change) -> Company:
    """Ingested, and with a champion of three nights ago; where anything moved, it was looked at last night too."""
    one = Company(House(folder), AS_OF - CHANGED * DAY)
    write_log(one.house, change)
    config = one.config()
    ingest.run(AS_OF, config)
    one.promote(bundle(config, one.house, one.trained), one.trained)
    if change == "devices":
        one.decide(AS_OF - DAY)
    return one


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Company:
    """A company where nothing changes."""
    return company(tmp_path_factory.mktemp("steady"), "nothing")


@pytest.fixture(scope="module")
def shifted(tmp_path_factory: pytest.TempPathFactory) -> Company:
    """A company whose people all took to their mobiles after the champion was trained."""
    return company(tmp_path_factory.mktemp("shifted"), "devices")


@pytest.fixture(scope="module")
def turned(tmp_path_factory: pytest.TempPathFactory) -> Company:
    """A company where other people click than those of whom the champion learned it."""
    return company(tmp_path_factory.mktemp("turned"), "clicks")


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Company:
    """A company whose export of the last day knows no devices."""
    return company(tmp_path_factory.mktemp("broken"), "export")


def arms(report: DriftReport) -> dict[str, tuple[State, str]]:
    """What each arm came to, and what it says."""
    return {arm["name"]: (arm["state"], arm["detail"]) for arm in report.arms}


def test_nothing_calls_for_a_new_model(steady: Company) -> None:
    """Where every day is like the last, the champion stays, and each arm says why it is silent."""
    report = steady.decide()
    assert not report.retrain
    assert report.verdict.startswith("The champion stays: nothing calls for a new model.")
    assert (report.champion, report.moved, report.drifted) == ("1", (), ())
    said = arms(report)
    assert said | {"performance": (), "expected performance": ()} == {
        "data quality": ("quiet", "none of 6 columns misses more than it did."),
        "asked for": ("quiet", "nobody asked."),
        "always": ("quiet", "retrain.when is needed."),
        "no champion": ("quiet", "version 1 serves."),
        "goals": ("quiet", "the champion was trained for these goals."),
        "performance": (),
        "predecessor": ("not tested", "not tested: there is no other model to compare with."),
        "drift": ("quiet", f"0 of {len(report.features)} distributions moved: none."),
        "age": ("quiet", "the champion is 3.0 days old; 30 are allowed."),
        "expected performance": (),
    }
    assert said["expected performance"][0] == "quiet"
    assert "score" in {feature["name"] for feature in report.features}


def test_too_few_engagements_are_not_called_fine(steady: Company) -> None:
    """40 people cannot prove that nothing got worse: the arm and the verdict say so, with what it would take."""
    report = steady.decide()
    state, said = arms(report)["performance"]
    assert state == "cannot tell"
    assert "cannot tell with" in said
    assert "cannot be told yet" in report.verdict


def test_people_who_changed_are_drift(shifted: Company) -> None:
    """The feature that moved is named with its index, and with it the scores that depend on it."""
    report = shifted.decide()
    assert report.retrain
    assert set(report.drifted) == {"mobile_share", "score"}
    state, said = arms(report)["drift"]
    assert state == "fires"
    assert said.startswith(f"2 of {len(report.features)} distributions moved: score (PSI ")
    assert "mobile_share (PSI " in said


def test_one_night_is_no_drift(shifted: Company) -> None:
    """What moved tonight and was not looked at last night waits for a second night."""
    lake = shifted.house.lake
    yesterday = lake.read_night("decisions", AS_OF - DAY)
    forgotten = {**json.loads(yesterday["decision"][0].as_py()), "moved": []}
    lake.replace_night("decisions", pa.table({"decision": [json.dumps(forgotten)]}), AS_OF - DAY)
    report = shifted.decide()
    lake.replace_night("decisions", yesterday, AS_OF - DAY)
    assert set(report.moved) == {"mobile_share", "score"}
    assert report.drifted == ()
    assert arms(report)["drift"][0] == "warns"
    assert "a second night in a row would count" in arms(report)["drift"][1]


def test_a_shift_that_was_named_calls_for_nothing(shifted: Company) -> None:
    """`drift.ignore` takes a feature out of the check."""
    report = shifted.decide(more='ignore = ["mobile_share"]\n')
    assert "mobile_share" not in {row["name"] for row in report.features}


def test_a_champion_that_does_worse_is_challenged(turned: Company) -> None:
    """Others click than those of whom it learned it: the drop is named with its interval, and it is the reason."""
    report = turned.decide()
    assert report.retrain
    state, said = arms(report)["performance"]
    assert state == "fires"
    assert report.verdict == f"Train a challenger: {said}"
    (auc,) = (dip for dip in report.dips if dip["name"] == "AUC of click")
    assert auc["verdict"] == "dipped"
    assert 0.01 < auc["low"] <= auc["drop"] <= auc["high"]


def test_broken_data_hold_the_night_back_and_train_nobody(broken: Company) -> None:
    """An export that lost a column blocks, whatever else there is to say and whoever asks, and the record says why."""
    for asked in (False, True):
        with pytest.raises(ShortlistError, match=r"device: missing in log in 100.0 % of the rows, 0.0 % before"):
            broken.decide(retrain=asked)
        record = json.loads(broken.house.lake.read_night("decisions", AS_OF)["decision"][0].as_py())
        assert (record["blocked"], record["retrain"]) == (True, False)
        assert record["verdict"].startswith("Nothing is trained or published, because data is missing")


def test_data_that_are_meant_to_be_missing_hold_nothing_back(broken: Company) -> None:
    """A company that says so gets its tables."""
    report = broken.decide(more='ignore = ["device"]\n')
    assert not report.blocked


def test_after_a_training_age_drift_and_dips_wait(shifted: Company) -> None:
    """No new model for some days, whatever the last training came to; who asks is not made to wait."""
    waits = "[retrain]\ncool_down_days = 4\nmax_age_days = 2\n"
    report = shifted.decide(more=waits)
    assert not report.retrain
    assert [arms(report)[name][0] for name in ("performance", "drift", "age")] == ["held back"] * 3
    assert "the last training is too recent (1.0 days to go)" in arms(report)["age"][1]
    assert report.verdict == f"The champion stays for now: {arms(report)['performance'][1]}"
    assert shifted.decide(more=waits, retrain=True).retrain


def test_the_decision_does_not_depend_on_when_it_is_taken(shifted: Company) -> None:
    """The same night decided again is the same decision, to the last digit."""
    assert shifted.decide() == shifted.decide()


def test_an_old_champion_is_challenged(steady: Company) -> None:
    """At its greatest age, not a day later, a champion has to prove itself."""
    report = steady.decide(more="[retrain]\nmax_age_days = 3\n")
    assert (report.retrain, report.verdict) == (
        True,
        "Train a challenger: the champion is 3.0 days old; 3 are allowed.",
    )
    assert not steady.decide(more="[retrain]\nmax_age_days = 3.1\n").retrain


def test_a_champion_that_is_worse_than_its_predecessor_is_taken_back(steady: Company) -> None:
    """It lists what people have *not* turned to before. The night that is run again says the same."""
    state = {"state": "two"}
    config, house = steady.config(**state), steady.house
    for trained, less in ((AS_OF - 8 * DAY, False), (AS_OF - 4 * DAY, True)):
        steady.promote(bundle(config, house, trained, on="seen", less=less), trained, **state)
    report = steady.decide(**state)
    assert arms(report)["predecessor"][0] == "rolls back"
    assert report.rolled_back is not None
    assert (report.rolled_back["from"], report.rolled_back["to"]) == ("2", "1")
    assert report.verdict.startswith("Version 2 is taken back, and version 1 serves again: on the nights since then")
    assert not report.retrain
    serving = registry.champion(steady.tracker(**state), AS_OF)
    assert serving is not None
    assert serving.version == "1"
    again = steady.decide(**state)
    assert again.rolled_back == report.rolled_back
    assert again.verdict == report.verdict
    earlier = registry.champion(steady.tracker(**state), AS_OF - DAY)
    assert earlier is not None
    assert earlier.version == "2"


def test_a_champion_that_is_better_than_its_predecessor_stays(steady: Company) -> None:
    """The other way round nothing is taken back, and both figures are told."""
    state = {"state": "better"}
    config, house = steady.config(**state), steady.house
    for trained, less in ((AS_OF - 8 * DAY, True), (AS_OF - 4 * DAY, False)):
        steady.promote(bundle(config, house, trained, on="seen", less=less), trained, **state)
    report = steady.decide(**state)
    state_of, said = arms(report)["predecessor"]
    assert state_of in {"quiet", "cannot tell"}
    assert "version 1 would have reached NDCG@10" in said
    assert report.rolled_back is None


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
    for name in ("drift", "performance"):
        assert arms(report)[name] == ("not tested", "not tested: there is no champion to compare with.")
    assert arms(report)["age"] == arms(report)["goals"] == ("quiet", "there is no champion yet.")


def test_never(steady: Company) -> None:
    """Where a company never wants to train, the reason that there would have been is still told."""
    report = steady.decide(state="empty", more='[retrain]\nwhen = "never"\n')
    assert (report.retrain, report.verdict) == (
        False,
        "No training, because retrain.when is never; otherwise: there is no champion yet.",
    )


def test_a_young_champion_is_not_tested_yet(steady: Company) -> None:
    """Fewer nights than the comparison wants since the training: no drift is claimed, and none denied."""
    report = steady.decide(AS_OF - 2 * DAY)
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
    written = {
        json.loads(p.read_text(encoding="utf-8"))["as_of"]: p
        for p in shifted.house.lake.tracking.rglob("decision.json")
    }
    assert set(written) == {AS_OF.isoformat(), (AS_OF - DAY).isoformat()}
    recorded = written[AS_OF.isoformat()]
    assert json.loads(recorded.read_text(encoding="utf-8")) == kept
    page = recorded.with_name("decision.html").read_text(encoding="utf-8")
    assert f"<h1>{report.verdict}</h1>" in page
    assert all(escape(arm["detail"]) in page for arm in report.arms)
    for name in report.moved:
        assert f'aria-label="Shares of {name} by bin.' in page


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
