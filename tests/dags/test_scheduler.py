"""The real thing: API server, DAG processor, scheduler and triggerer run a night that was asked for over REST.

Then ranges of days, over stand-in steps: what each run loads; the lake is announced once.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline import airflow_environment, config
from pipeline.lake import Lake
from pipeline.up import Services
from tests.dags.airflow_api import Airflow
from tests.dags.stand_in_house import REPOSITORY, StandIns
from tests.dags.test_dags import UNITS, steps
from tests.pipeline.sink import Sink, listening

AS_OF = "2026-07-01"

DEADLINE, SOON = "deadline_hours = 6", "deadline_hours = 0.0003"
"""A second: no night is published by then."""


@pytest.fixture(name="sink", scope="module")
def _sink() -> Iterator[Sink]:
    with listening() as sink:
        yield sink


@pytest.fixture(name="house", scope="module")
def _house(tiny_world: Path, tmp_path_factory: pytest.TempPathFactory) -> StandIns:
    return StandIns(tmp_path_factory.mktemp("house"), tiny_world.parent)


@pytest.fixture(name="services", scope="module")
def _services(tiny_world: Path, house: StandIns, sink: Sink) -> Iterator[Services]:
    text = tiny_world.read_text()
    assert DEADLINE in text
    tiny_world.write_text(text.replace(DEADLINE, SOON))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHORTLIST_ALERT_URLS", sink.url)
        patch.setenv("PYTHONPATH", str(house.folder))
        with Services(tiny_world, mlflow=False, airflow_port=0) as services:
            yield services


@pytest.fixture(name="airflow", scope="module")
def _airflow(services: Services) -> Airflow:
    not_just_before(3)
    return Airflow(services)


def not_just_before(*hours: int) -> None:
    """At 3 the schedule starts a night of its own, which would be counted too; at 0 the latest night is another one."""
    now = datetime.now(UTC)
    if (now + timedelta(minutes=8)).hour in set(hours) - {now.hour}:
        pytest.skip("a night begins meanwhile")


def test_lake_starts_personalize(tiny_world: Path, airflow: Airflow) -> None:
    """A run of `ingest` for a night ends in published rankings of that night: the asset carries it to `personalize`."""
    airflow.call("PATCH", "/dags/ingest", {"is_paused": False})
    airflow.start("ingest", as_of=AS_OF)
    assert [run["state"] for run in airflow.ended("ingest", "manual")] == ["success"]
    assert [run["state"] for run in airflow.ended("personalize", "asset_triggered")] == ["success"]
    settings = config.load(tiny_world)
    current = (settings.folder(settings.project.published) / "rankings" / "CURRENT").read_text()
    assert current.startswith(AS_OF)


def test_a_missed_deadline_is_told_by_the_triggerer(sink: Sink) -> None:
    """That run took longer than its second: the triggerer said so, once, while it went on."""
    assert headings(sink).count("deadline missed") == 1


def test_a_failed_load_is_told_once(airflow: Airflow, sink: Sink) -> None:
    """A night without exports fails, and its last task tells whose data is late: once, however many runs say so."""
    airflow.start("ingest", as_of="2030-01-01")
    runs = airflow.ended("ingest", "manual", 2)
    assert sorted(run["state"] for run in runs) == ["failed", "success"]
    assert headings(sink).count("data late") == 1
    (failed,) = (run["dag_run_id"] for run in runs if run["state"] == "failed")
    said = airflow.call("GET", f"/dags/ingest/dagRuns/{failed}/taskInstances/load/xcomEntries/said?map_index=0")
    assert "events_20291231.parquet" in said["value"], "the failed task leaves its own words to the last one"


def headings(sink: Sink) -> list[str]:
    """What was told so far."""
    return [message["title"].partition(": ")[2] for message in sink.got]


@pytest.mark.parametrize("day", ["soon", "2026-02-30", "30/06/2026", 20260630])
def test_params_are_checked(airflow: Airflow, day: object) -> None:
    """A day that is no day is refused when the run is asked for, not when it fails at night."""
    with pytest.raises(urllib.error.HTTPError, match="400"):
        airflow.start("ingest", start_date=day)


def test_only_this_machine_is_listened_to(services: Services) -> None:
    """Every port that a service opened is on the loopback address."""
    groups = {process.pid for process in services.running.values()}
    sockets = [socket for process in members(groups) for socket in process.net_connections()]
    assert {socket.laddr.ip for socket in sockets if socket.status == psutil.CONN_LISTEN} == {"127.0.0.1"}


def test_sigterm_leaves_nothing_behind(tmp_path: Path) -> None:
    """`up` that is terminated half-way through its start takes every process that it started with it."""
    (tmp_path / "shortlist.toml").write_text('[project]\nname = "tiny"\n')
    code = (
        "import pathlib, sys, pipeline.up as up; up.run(pathlib.Path(sys.argv[1]), str, airflow_port=0, mlflow_port=0)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "shortlist.toml")]
    launcher = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while len(children := psutil.Process(launcher.pid).children()) < 3:  # API server, DAG processor, MLflow
        assert launcher.poll() is None
        time.sleep(0.1)
    launcher.send_signal(signal.SIGTERM)
    assert launcher.wait(60) == 0
    assert members({child.pid for child in children}) == []


def members(groups: set[int]) -> list[psutil.Process]:
    """The living processes of these process groups."""
    return [process for process in psutil.process_iter() if _group(process) in groups]


def _group(process: psutil.Process) -> int:
    try:
        return -1 if process.status() == psutil.STATUS_ZOMBIE else os.getpgid(process.pid)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return -1


# ---------------------------------------------------------------- ranges of days, over stand-in steps

GUIDE = REPOSITORY / "docs" / "guides" / "backfill.md"
NIGHTS, TRIES = 2, 10
ONCE = ["finish", "build_features", "grade", "check_drift", "rank", "publish"]


@pytest.fixture(name="stood_in", scope="module")
def _stood_in(house: StandIns, services: Services) -> Airflow:
    """Airflow as if nothing had run in it: `ingest` is paused, and every step is a stand-in from here on."""
    not_just_before(0, 3)
    (house.world / "plan.json").write_text(json.dumps({"units": UNITS}))
    house.switch.touch()
    airflow = Airflow(services)
    airflow.call("PATCH", "/dags/ingest", {"is_paused": True})
    return airflow


@pytest.fixture(name="journal")
def _journal(house: StandIns) -> None:
    (house.world / "journal.jsonl").write_text("")


@pytest.mark.usefixtures("journal")
def test_a_backfill(house: StandIns, stood_in: Airflow) -> None:
    """Every night has a run, which loads its own day; the last of them announces the lake, for the latest night.

    The range ends with the newest night there is, and is asked for before `ingest` is unpaused: Airflow goes on from
    where a backfill ends, and would else make up the newest night at once.
    """
    now = datetime.now(UTC)
    tick = now.replace(hour=3, minute=0, second=0, microsecond=0)
    newest = tick if now > tick else tick - timedelta(days=1)
    nights = [newest - timedelta(days=i) for i in reversed(range(NIGHTS))]
    create_backfill(house, nights[0], nights[-1])
    stood_in.call("PATCH", "/dags/ingest", {"is_paused": False})
    runs = stood_in.ended("ingest", "backfill", NIGHTS)
    stood_in.ended("personalize", "asset_triggered")
    assert [run["state"] for run in runs] == ["success"] * NIGHTS
    called, alerts = without_alerts(in_dags(house))
    order = steps({"journal": called})
    assert sorted((call["as_of"], call["start"], call["end"]) for call in called if call["step"] == "plan") == [
        (night.replace(hour=0).isoformat(), *[str((night - timedelta(days=1)).date())] * 2) for night in nights
    ]
    assert order.count("load") == NIGHTS * len(UNITS)
    assert order[-6:] == ONCE
    assert order.count("finish") == order.count("publish") == 1
    assert {call["as_of"] for call in called[-6:]} == {today()}
    assert len(alerts) == 1, "`personalize` has a night to tell of, a backfill has not"


@pytest.mark.usefixtures("journal")
def test_a_range_by_hand(house: StandIns, stood_in: Airflow) -> None:
    """Two dates and nothing else are one run of many days; then `personalize` runs once more, for the latest night."""
    stood_in.call("POST", "/dags/ingest/dagRuns", json.loads(block("json", starting="{")))
    stood_in.ended("ingest", "manual")
    stood_in.ended("personalize", "asset_triggered", 2)
    (plan, *others), alerts = without_alerts(in_dags(house))
    assert len(alerts) == 2
    assert (plan["start"], plan["end"]) == ("2026-06-01", "2026-06-30")
    assert [call["step"] for call in others] == ["load"] * len(UNITS) + ONCE
    assert {call["as_of"] for call in in_dags(house)} == {today()}


def today() -> str:
    """The latest night there is, as steps are told it."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0).isoformat()


def in_dags(house: StandIns) -> list[dict[str, Any]]:
    """What tasks called: the triggerer, too, may tell that a night missed its second."""
    return [call for call in house.journal() if not call.get("overdue")]


def without_alerts(journal: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The calls of all other steps, and those of `alert`: the end of `ingest` runs beside `personalize`."""
    return [call for call in journal if call["step"] != "alert"], [call for call in journal if call["step"] == "alert"]


def create_backfill(house: StandIns, first: datetime, last: datetime) -> None:
    """The command of the guide, with other dates; again where SQLite was locked, as the guide says."""
    command = shlex.split(block("sh", starting="airflow"))
    for option, instant in (("--from-date", first), ("--to-date", last)):
        command[command.index(option) + 1] = instant.isoformat()
    file = house.world / "shortlist.toml"
    settings = airflow_environment.settings(Lake.of(config.load(file)).airflow / "service", file)
    environment = {**os.environ, **settings, "PYTHONPATH": str(house.folder)}
    for _ in range(TRIES):
        done = subprocess.run(
            [sys.executable, "-m", *command], env=environment, check=False, capture_output=True, text=True
        )
        if "database is locked" not in done.stderr:
            break
    assert done.returncode == 0, done.stderr


def block(language: str, starting: str) -> str:
    """The guide's one block in this language that starts so."""
    (found,) = re.findall(
        rf"^```{language}\n({re.escape(starting)}.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL
    )
    return str(found)
