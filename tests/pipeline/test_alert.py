"""Alerts over a real web server: what a night gives cause for, told once when it begins and once when it is over."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import alert, deadline, registry, tracking
from pipeline import config as configuration
from pipeline.errors import ShortlistError
from pipeline.records import Tracker
from tests.pipeline import alerted, nights, trainings
from tests.pipeline.alerted import STEP, decide, headings, opened, publish
from tests.pipeline.sink import Sink
from tests.pipeline.small import HEADER, House
from tests.pipeline.website import DAY, NIGHT, WEB, export, load

house, sink, told = alerted.house, alerted.sink, alerted.told


def test_data_late_then_there(house: House, told: Sink) -> None:
    """Once when the file is missing, not again while it is, and once when it is there."""
    config = house.configure(WEB)
    first = alert.run(NIGHT, config)
    (message,) = told.taken()
    assert message["title"] == "small, night of 2026-07-01 00:00: data late"
    assert "web" in message["message"]
    assert message["type"] == "failure"
    assert (first.sent, first.waiting, first.addresses) == (1, 0, ("JSON",))
    for as_of in (NIGHT, NIGHT + STEP, NIGHT - STEP):
        assert alert.run(as_of, config).sent == 0
    assert told.taken() == []
    export(house, DAY + 2 * STEP)
    over = alert.run(NIGHT + 2 * STEP, config)
    (message,) = told.taken()
    assert message["title"] == "small, night of 2026-07-03 00:00: resolved: data late"
    assert message["type"] == "success"
    assert (over.open, [one.since for one in over.resolved]) == ((), [NIGHT.isoformat()])


def test_data_blocked_then_mended(house: House, told: Sink) -> None:
    """What the refused load said is what the message says; the export that is mended ends it."""
    config = house.configure(WEB)
    export(house, count=2, ts="yesterday")
    with pytest.raises(ShortlistError) as refused:
        load(config)
    alert.run(NIGHT, config, ran={"plan": None, "load": "the same"})
    (message,) = told.taken()
    assert message["title"].endswith(": data blocked")
    assert message["message"].startswith(str(refused.value))
    export(house, count=2)
    load(config)
    assert opened(alert.run(NIGHT, config, ran={"load": None})) == []
    assert headings(told) == ["resolved: data blocked"]


def test_a_step_fails_then_does_not(house: House, told: Sink) -> None:
    """A run that does not get to the step says nothing of it; one that does ends it."""
    export(house)
    config = house.configure(WEB + '[alerts]\nairflow_url = "https://airflow.example.com/"\n')
    alert.run(NIGHT, config, ran={"grade": None, "rank": "there is no model"})
    (message,) = told.taken()
    assert message["message"].startswith("The step `rank` failed: there is no model")
    assert message["message"].endswith("https://airflow.example.com/dags")
    for as_of, ran in ((NIGHT, {"plan": None}), (NIGHT, {"rank": "other words"})):
        assert alert.run(as_of, config, ran=ran).sent == 0
    alert.run(NIGHT, config, ran={"rank": None})
    assert headings(told) == ["resolved: step failed"]


def test_arms_that_are_no_routine(house: House, told: Sink) -> None:
    """Drift, dip and data quality by the arms' names, one that nobody knows yet as drift; routine is no alarm."""
    names = ("asked for", "always", "no champion", "goals", "age", "drift", "performance", "data quality", "newest")
    decide(house, [{"name": name, "fired": True, "detail": f"{name} speaks.", "more": 1} for name in names])
    export(house)
    report = alert.run(NIGHT, house.configure(WEB))
    assert sorted(opened(report)) == [
        ("dip", "performance"), ("drift", "drift"), ("drift", "newest"), ("quality", "data quality"),
    ]  # fmt: skip
    assert {message["message"].split("\n")[0] for message in told.taken()} == {
        "Drift speaks.", "Performance speaks.", "Data quality speaks.", "Newest speaks.",
    }  # fmt: skip
    decide(house, [{"name": "drift", "fired": False, "detail": "still."}], as_of=NIGHT + STEP)
    export(house, DAY + STEP)
    alert.run(NIGHT + STEP, house.configure(WEB))
    assert sorted(headings(told)) == [
        "resolved: data quality", "resolved: drift", "resolved: drift", "resolved: performance dip",
    ]  # fmt: skip


def test_a_dip_that_has_to_wait_is_not_over(house: House, told: Sink) -> None:
    """During the cool-down nothing is trained, but it is as bad as before: nobody is told that it is resolved."""
    dip = {"name": "performance", "fired": True, "state": "fires", "detail": "the AUC fell."}
    export(house)
    decide(house, [dip])
    alert.run(NIGHT, house.configure(WEB))
    assert headings(told) == ["performance dip"]
    decide(house, [{**dip, "fired": False, "state": "held back"}], as_of=NIGHT + STEP)
    export(house, DAY + STEP)
    report = alert.run(NIGHT + STEP, house.configure(WEB))
    assert ([one.kind for one in report.open], headings(told)) == (["dip"], [])


def test_a_night_that_was_held_back_is_told_of_once(house: House, told: Sink) -> None:
    """Missing data fail the step `check_drift`: told as what is missing, not as a step that failed as well."""
    export(house)
    decide(house, [{"name": "data quality", "fired": True, "detail": "device is missing."}])
    report = alert.run(NIGHT, house.configure(WEB), ran={"check_drift": "device is missing"})
    assert opened(report) == [("quality", "data quality")]
    (message,) = told.taken()
    assert message["type"] == "failure"
    assert "Nothing is trained or published" in message["message"]


def test_a_model_that_was_taken_back_is_told_once(house: House, told: Sink) -> None:
    """Which version, which one serves again, and why: also where the night is run again."""
    export(house)
    back = {"from": "3", "to": "2", "why": "its lists were worse."}
    house.lake.replace_night("decisions", pa.table({"decision": [json.dumps({"rolled_back": back})]}), NIGHT)
    for sent in (1, 0):
        assert alert.run(NIGHT, house.configure(WEB)).sent == sent
    (message,) = told.taken()
    assert message["title"].endswith(": model taken back")
    assert "Version 3 is taken back, and version 2 serves again: its lists were worse." in message["message"]


@pytest.mark.parametrize("promoted", [True, False])
def test_news_of_a_training(house: House, told: Sink, tracker: Tracker, promoted: bool) -> None:
    """Which version, what became of it and why; told once, without an end."""
    house.file.write_text(HEADER.replace("small", tracker.project) + WEB)
    config = configuration.load(house.file)
    house.lake.state.mkdir()
    house.lake.tracking.symlink_to(tracker.folder)
    export(house)
    decide(house, [], retrain=True)
    version = tracking.log_training(tracker, trainings.record(NIGHT, description="it ranks better"))
    if promoted:
        registry.promote(tracker, version, NIGHT)
    else:
        registry.refuse(tracker, version, "it ranks worse")
    alert.run(NIGHT, config)
    alert.run(NIGHT, config)
    (message,) = told.taken()
    became = "became the champion: it ranks better" if promoted else "did not become the champion: it ranks worse"
    assert message["message"].startswith(f"Version 1 {became}")
    assert message["type"] == "info"
    export(house, DAY + STEP)
    assert alert.run(NIGHT + STEP, config).open == ()
    assert told.taken() == []


def test_what_is_published(house: House, told: Sink) -> None:
    """Fewer people than usual, nobody at all, and nothing new for too long: each by itself."""
    config = house.configure("")
    for number in range(4):
        publish(house, number, people=10)
    assert opened(alert.run(nights.as_of(3), config)) == []
    publish(house, 4, people=7)
    assert opened(alert.run(nights.as_of(4), config)) == [("shrunken", "people")]
    assert opened(alert.run(nights.as_of(6), config)) == []
    assert opened(alert.run(nights.as_of(7), config)) == [("stale", "people")]
    publish(house, 7, people=0)
    last = alert.run(nights.as_of(7), config)
    assert opened(last) == [("empty", "people")]
    assert sorted(one.kind for one in last.resolved) == ["shrunken", "stale"]
    assert len(told.taken()) == 5


def test_a_deadline_is_missed(house: House, told: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the triggerer calls it, with what Airflow hands it; over when a night as late as that is published."""
    house.configure("")
    monkeypatch.setenv("SHORTLIST_CONFIG", str(house.file))
    run = {"run_after": nights.as_of(1).isoformat(), "logical_date": None, "conf": {}, "partition_key": None}
    context = {"dag_run": run, "deadline": {}}
    publish(house, 0, people=3)
    assert asyncio.run(deadline.missed(context)) == "1 opened, 1 messages sent, 0 waiting"
    assert asyncio.run(deadline.missed(context)) == "0 opened, 0 messages sent, 0 waiting"
    publish(house, 1, people=3)
    assert asyncio.run(deadline.missed(context)) == "0 opened, 1 messages sent, 0 waiting"
    assert headings(told) == ["deadline missed", "resolved: deadline missed"]


@pytest.mark.parametrize(
    ("text", "hours"),
    [("[alerts]\ndeadline_hours = 1.5\n", 1.5), ("", deadline.HOURS), ("no = toml = at all", deadline.HOURS)],
)
def test_the_deadline_is_in_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, hours: float
) -> None:
    """Read when the DAG is parsed; a file that says nothing, or nothing sensible, stops no DAG from being parsed."""
    file = tmp_path / "shortlist.toml"
    file.write_text(text)
    monkeypatch.setenv("SHORTLIST_CONFIG", str(file))
    assert deadline.interval() == timedelta(hours=hours)
    monkeypatch.setenv("SHORTLIST_CONFIG", str(tmp_path / "nowhere.toml"))
    assert deadline.interval() == timedelta(hours=deadline.HOURS)


def test_what_cannot_be_read_still_holds(house: House, told: Sink) -> None:
    """A broken CURRENT ends no cause: what it said last holds, and the report says that nobody could look."""
    config = house.configure("")
    publish(house, 0, people=3)
    assert opened(alert.run(nights.as_of(9), config)) == [("stale", "people")]
    (house.lake.rankings / "CURRENT").write_text("nonsense\n")
    report = alert.run(nights.as_of(10), config)
    assert [one.kind for one in report.open] == ["stale"]
    assert any("no snapshot's name" in note for note in report.notes)
    assert headings(told) == ["published table stale"]
