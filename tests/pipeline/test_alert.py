"""Alerts over a real web server: once when something begins, once when it is over, never lost, and no address told."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline import alert, alert_state, deadline, messenger, registry, snapshot, tracking
from pipeline import config as configuration
from pipeline.alert import AlertReport
from pipeline.causes import State
from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.records import Tracker
from tests.pipeline import nights, trainings
from tests.pipeline.sink import TOKEN, Sink, listening
from tests.pipeline.small import HEADER, House, shortlist
from tests.pipeline.website import DAY, NIGHT, WEB, export, load

STEP = timedelta(days=1)
URLS = "SHORTLIST_ALERT_URLS"


@pytest.fixture(name="sink", scope="module")
def _server() -> Iterator[Sink]:
    with listening() as sink:
        yield sink


@pytest.fixture
def told(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> Sink:
    """The sink, empty, and named in the environment."""
    sink.taken()
    sink.status = 200
    monkeypatch.setenv(URLS, sink.url)
    return sink


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A company of one source, without exports."""
    house = House(tmp_path)
    house.configure(WEB)
    return house


def headings(sink: Sink) -> list[str]:
    """What was sent since the last time, by heading."""
    return [message["title"].partition(": ")[2] for message in sink.taken()]


def opened(report: AlertReport) -> list[tuple[str, str]]:
    """What began."""
    return [(one.kind, one.key) for one in report.opened]


def publish(house: House, number: int, people: int) -> None:
    """A snapshot of a numbered night in which so many people have a list."""
    tables = nights.ranked(number, people=people)
    root = house.lake.rankings
    snapshot.commit(root, snapshot.stage(root, tables, nights.facts(), nights.as_of(number)))


def decide(house: House, arms: list[dict[str, Any]], *, retrain: bool = False, as_of: Any = NIGHT) -> None:
    """A night's decision as the drift check writes it, with what else it may say one day."""
    decision = json.dumps({"retrain": retrain, "arms": arms, "something new": 1})
    house.lake.replace_night("decisions", pa.table({"decision": [decision]}), as_of)


# ---------------------------------------------------------------- once


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


# ---------------------------------------------------------------- never lost


def test_a_service_that_is_down_is_told_later(house: House, told: Sink) -> None:
    """No failure of the night; what it missed it gets with the next run, in order, and the others nothing twice."""
    config = house.configure(WEB)
    with listening() as other, pytest.MonkeyPatch.context() as patch:
        patch.setenv(URLS, f"{told.url}\n{other.url}")
        other.status = 500
        report = alert.run(NIGHT, config)
        assert (report.sent, report.waiting) == (0, 1)
        assert report.notes == ("1 messages could not be delivered to JSON; the next run sends them again",)
        export(house)
        assert alert.run(NIGHT, config).waiting == 2
        assert headings(told) == ["data late", "resolved: data late"]
        other.status = 200
        assert alert.run(NIGHT, config).waiting == 0
        assert headings(other) == ["data late", "resolved: data late"]
        assert headings(told) == []


def test_killed_between_sending_and_noting(house: House, told: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message is sent once more, and then no more."""
    config, write = house.configure(WEB), alert_state.write

    def dies(file: Path, state: State) -> None:
        if not state.outbox:
            raise SystemExit  # nothing catches it, so nothing more is written, as when the process is killed
        write(file, state)

    with monkeypatch.context() as patch:
        patch.setattr(alert_state, "write", dies)
        with pytest.raises(SystemExit):
            alert.run(NIGHT, config)
    assert headings(told) == ["data late"]
    assert alert.run(NIGHT, config).sent == 1
    assert alert.run(NIGHT, config).sent == 0
    assert headings(told) == ["data late"]


def test_nobody_to_tell(house: House, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state is kept and shown all the same; whoever is named later hears what still holds."""
    monkeypatch.delenv(URLS, raising=False)
    config = house.configure(WEB)
    report = alert.run(NIGHT, config)
    assert (opened(report), report.addresses, report.sent) == ([("late", "web")], (), 0)
    assert "nobody is told: SHORTLIST_ALERT_URLS names no address" in alert.lines(report, config)
    sink.taken()
    monkeypatch.setenv(URLS, sink.url)
    assert alert.run(NIGHT + STEP, config).sent == 1
    assert headings(sink) == ["data late"]


def test_an_address_with_a_typo_loses_nothing(house: House, told: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be sent anywhere waits for the address to be put right."""
    config = house.configure(WEB)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(URLS, "jsn://127.0.0.1")
        assert (alert.run(NIGHT, config).waiting, told.taken()) == (1, [])
    assert alert.run(NIGHT, config).sent == 1
    assert headings(told) == ["data late"]


def test_a_state_that_is_none_is_said(house: House, told: Sink) -> None:
    """Not taken for an empty one, which would tell everything again."""
    config = house.configure(WEB)
    alert.run(NIGHT, config)
    (house.lake.alerts / alert_state.FILE).write_text('{"as_of": 1}')
    with pytest.raises(ShortlistError, match="Restore it, or remove it"):
        alert.run(NIGHT, config)


# ---------------------------------------------------------------- no address is told


def test_no_address_in_any_log(
    house: House, told: Sink, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Taken, refused, out of reach or not understood: no log at any level, no report and no file has the token."""
    caplog.set_level(logging.DEBUG)
    config = house.configure(WEB)
    said = []
    for number, (url, status) in enumerate(
        [(told.url, 200), (told.url, 500), (f"json://127.0.0.1:1/{TOKEN}", 0), (f"slack://{TOKEN}", 0)]
    ):
        told.status = status or 200
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(URLS, url)
            (house.folder / "exports").mkdir(exist_ok=True)
            export(house, DAY + number * STEP) if number % 2 else None
            report = alert.run(NIGHT + number * STEP, config)
            said.append(json.dumps(report.to_json()) + "\n".join(alert.lines(report, config)))
    out = capfd.readouterr()
    assert "is none that Apprise knows" in said[-1]
    kept = [path.read_text(errors="replace") for path in house.folder.rglob("*") if path.is_file()]
    texts = [*said, *kept, out.out, out.err, caplog.text, *(repr(one) for one in messenger.addresses(config))]
    assert [text for text in texts if TOKEN in text] == []
    assert told.got, "nothing was sent, so nothing was tested"


def test_what_does_log_is_heard_again(told: Sink) -> None:
    """Apprise and urllib3 are silenced while they speak of addresses, and no longer."""
    before = [logging.getLogger(name).level for name in ("apprise", "urllib3")]
    with messenger._quiet():
        assert not logging.getLogger("urllib3.connectionpool").isEnabledFor(logging.CRITICAL)
    assert [logging.getLogger(name).level for name in ("apprise", "urllib3")] == before


def test_a_bad_address_names_its_place_only(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which of them it is, and nothing of it."""
    config = house.configure(WEB)
    monkeypatch.setenv(URLS, f"json://127.0.0.1:1/ nonsense-{TOKEN}")
    with pytest.raises(ConfigurationError, match="number 2 of 2 addresses") as refused:
        messenger.addresses(config)
    assert TOKEN not in str(refused.value)


@pytest.mark.parametrize("key", ["urls_env", "urls", "airflow_url"])
def test_an_address_in_the_file_is_refused_unseen(house: House, key: str) -> None:
    """Whoever writes it where the variable's name belongs does not read it in a log."""
    with pytest.raises(ConfigurationError, match=f"alerts.{key}") as refused:
        house.configure(f'[alerts]\n{key} = "slack://{TOKEN}@{TOKEN}/?key={TOKEN}"\n')
    assert TOKEN not in str(refused.value)


# ---------------------------------------------------------------- the command


def test_the_command(house: House, told: Sink, capsys: pytest.CaptureFixture[str]) -> None:
    """What holds and what was sent, in words or as JSON; `--overdue` tells that nothing is published."""
    command = ("alert", "--config", house.file, "--as-of", "2026-07-01")
    said = shortlist(capsys, *command, "--overdue")
    assert said.lacks("new: data late:", "new: deadline missed:", "2 messages sent to JSON; 0 waiting") == []
    found = shortlist(capsys, *command, "--json").json
    assert [one["since"] for one in found["open"]] == [NIGHT.isoformat()] * 2
    assert sorted(headings(told)) == ["data late", "deadline missed"]


@pytest.mark.parametrize(("status", "code"), [(200, 0), (500, 1)])
def test_trying_it_out(house: House, told: Sink, capsys: pytest.CaptureFixture[str], status: int, code: int) -> None:
    """A test message, which address took it, and an exit code; nothing is noted."""
    told.status = status
    said = shortlist(capsys, "alert", "--config", house.file, "--test")
    assert (said.code, "1 JSON: took it" in said.err) == (code, status == 200)
    assert [message["title"] for message in told.taken()] == ["small: test"] * (status == 200)
    assert not house.lake.alerts.exists()


def test_doctor_looks_at_the_addresses(
    house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """How many and of which service; one that is none is bad, and not shown."""
    export(house)
    monkeypatch.setenv(URLS, "json://127.0.0.1:1/ mailto://ann:secret@example.com")
    assert shortlist(capsys, "doctor", "--config", house.file).lacks("alerts: 2 addresses: JSON, E-Mail") == []
    monkeypatch.setenv(URLS, f"slack://{TOKEN}")
    said = shortlist(capsys, "doctor", "--config", house.file)
    assert said.code == 1
    assert TOKEN not in said.err
