"""The real thing: API server, DAG processor, scheduler and triggerer run a night that was asked for over REST."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipeline import config
from pipeline.up import Services
from tests.dags.airflow_api import Airflow
from tests.pipeline.sink import Sink, listening

AS_OF = "2026-07-01"


DEADLINE, SOON = "deadline_hours = 6", "deadline_hours = 0.0003"
"""A second: no night is published by then."""


@pytest.fixture(name="sink", scope="module")
def _sink() -> Iterator[Sink]:
    with listening() as sink:
        yield sink


@pytest.fixture(name="services", scope="module")
def _services(tiny_world: Path, sink: Sink) -> Iterator[Services]:
    text = tiny_world.read_text()
    assert DEADLINE in text
    tiny_world.write_text(text.replace(DEADLINE, SOON))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHORTLIST_ALERT_URLS", sink.url)
        with Services(tiny_world, mlflow=False, airflow_port=0) as services:
            yield services


@pytest.fixture(name="airflow", scope="module")
def _airflow(services: Services) -> Airflow:
    return Airflow(services)


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
