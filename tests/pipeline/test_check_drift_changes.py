"""The decision to retrain where something changed: people, what they click on, or what their export holds."""

from __future__ import annotations

import json
from html import escape
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from pipeline import looks, registry, tracking
from pipeline.errors import ShortlistError
from pipeline.records import TrainingRecord
from tests.pipeline.drifting import AS_OF, DAY, Company, arms, bundle, company


@pytest.fixture(scope="module")
def shifted(tmp_path_factory: pytest.TempPathFactory) -> Company:
    """A company whose people all took to their mobiles after the champion was trained."""
    return company(tmp_path_factory.mktemp("shifted"), "devices")


@pytest.fixture(scope="module")
def turned(tmp_path_factory: pytest.TempPathFactory) -> Company:
    """A company where other people click than those of whom the champion learned it."""
    return company(tmp_path_factory.mktemp("turned"), "clicks")


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Company:
    """A company of which a few are shown far less than before, whose champion reads how people respond."""
    one = company(tmp_path_factory.mktemp("few"), "few")
    config = one.config()
    one.promote(bundle(config, one.house, one.trained, on="click_per_shown_30d"), one.trained)
    return one


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Company:
    """A company whose export of the last day knows no devices."""
    return company(tmp_path_factory.mktemp("broken"), "export")


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
    forgotten = {**json.loads(yesterday["decision"][0].as_py()), "beyond_chance": {}}
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


def test_a_few_people_do_not_move_everybody(few: Company) -> None:
    """Everybody's rate is a part of each smoothed one, and all of it of who was shown nothing: only counts are asked.

    With the rates 3 of 40 people made the other 37 move as one.
    """
    report = few.decide()
    assert report.moved == ()
    asked = {feature["name"]: feature["weight"] for feature in report.features}
    assert "click_per_shown_30d" not in asked
    assert asked["click_30d"] == asked["shown_30d"] > asked["events_7d"], (
        "what the rate means to the champion is theirs"
    )


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


def test_a_refused_challenger_is_an_answer_for_a_week(shifted: Company) -> None:
    """It knew all that is new: drift and age ask again when there is more to learn from. A dip does not wait."""
    config, tracker = shifted.config(state="answered"), shifted.tracker(state="answered")
    model = bundle(config, shifted.house, shifted.trained)
    shifted.promote(model, shifted.trained, state="answered")
    record = TrainingRecord(as_of=AS_OF - 2 * DAY, goals=("click",), files=model.to_files())
    registry.refuse(tracker, tracking.log_training(tracker, record), "it is no better")
    report = shifted.decide(more="[retrain]\ncool_down_days = 0\nmax_age_days = 3\n", state="answered")
    for arm in ("drift", "age"):
        state, said = arms(report)[arm]
        assert (report.champion, state) == ("1", "held back")
        assert said.endswith("It has to wait: the last challenger was refused, and the next is tried in 1.0 days.")
    later = shifted.decide(more="[retrain]\ncool_down_days = 0\n", state="answered")
    assert "the next is tried in 5.0 days" in arms(later)["drift"][1]
    assert (report.retrain, arms(report)["performance"][0]) == (True, "fires")


def test_the_decision_does_not_depend_on_when_it_is_taken(shifted: Company) -> None:
    """The same night decided again is the same decision, to the last digit."""
    assert shifted.decide() == shifted.decide()


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


# ---------------------------------------------------------------- what earlier nights saw


def test_a_night_is_looked_at_once_and_says_the_same(shifted: Company) -> None:
    """Of the nights that last night's check saw too nothing is made anew, and looking anew would say just the same."""
    lake = shifted.house.lake
    looks.remove_all(lake)
    shifted.decide(AS_OF - DAY)
    before = {file.name: file.stat().st_ino for file in lake.looks.iterdir()}
    report = shifted.decide()
    after = {file.name: file.stat().st_ino for file in lake.looks.iterdir()}
    both = before.keys() & after.keys()
    assert {name: after[name] for name in both} == {name: before[name] for name in both}
    assert [len(found) for found in (before, after, both)] == [10, 11, 9]  # new: tonight, and one that has matured
    looks.remove_all(lake)
    assert shifted.decide() == report
    assert {file.name for file in lake.looks.iterdir()} == after.keys()


def test_what_was_seen_is_what_is_judged(shifted: Company) -> None:
    """A night that says something else now is believed as it was seen: then nobody had a mobile."""
    shifted.decide()
    night, changed = f"{AS_OF:%Y-%m-%dT%H%M%SZ}", 0
    for file in shifted.house.lake.looks.glob(f"{night}-*.npz"):
        with np.load(file) as found:
            arrays = dict(found)
        if "columns/mobile_share" in arrays:
            arrays["columns/mobile_share"] = np.zeros_like(arrays["columns/mobile_share"])
            np.savez(file, **arrays)
            changed += 1
    assert changed == 1
    found = {feature["name"]: feature for feature in shifted.decide().features}
    looks.remove_all(shifted.house.lake)
    assert found["mobile_share"] != {feature["name"]: feature for feature in shifted.decide().features}["mobile_share"]
