"""Ranges of days in a running Airflow, over stand-in steps: what each run loads; the lake is announced once."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline import airflow_environment, config
from pipeline.lake import Lake
from pipeline.up import Services
from tests.dags.airflow_api import Airflow
from tests.dags.stand_in_house import REPOSITORY, StandIns
from tests.dags.test_dags import UNITS, steps

GUIDE = REPOSITORY / "docs" / "guides" / "backfill.md"
NIGHTS, TRIES = 3, 10
ONCE = ["finish", "build_features", "grade", "check_drift", "rank", "publish"]
TICK = datetime.now(UTC).replace(hour=3, minute=0, second=0, microsecond=0)
"""When `ingest` starts today."""


@pytest.fixture(name="house", scope="module")
def _house(tmp_path_factory: pytest.TempPathFactory) -> StandIns:
    house = StandIns(tmp_path_factory.mktemp("backfill"))
    (house.world / "plan.json").write_text(json.dumps({"units": UNITS}))
    return house


@pytest.fixture(name="airflow", scope="module")
def _airflow(house: StandIns) -> Iterator[Airflow]:
    if TICK - timedelta(minutes=5) < datetime.now(UTC) < TICK:
        pytest.skip("the night's own run would start meanwhile, and announce the lake too")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(house.folder))
        with Services(house.world / "shortlist.toml", mlflow=False, airflow_port=0) as services:
            yield Airflow(services)


@pytest.fixture(autouse=True)
def _fresh_journal(house: StandIns) -> None:
    (house.world / "journal.jsonl").write_text("")


def test_a_backfill(house: StandIns, airflow: Airflow) -> None:
    """Every night has a run, which loads its own day; the last of them announces the lake, for the latest night.

    The range ends with the newest night there is, and is asked for before `ingest` is unpaused: Airflow goes on from
    where a backfill ends, and would else make up the newest night at once.
    """
    newest = TICK if datetime.now(UTC) > TICK else TICK - timedelta(days=1)
    nights = [newest - timedelta(days=i) for i in reversed(range(NIGHTS))]
    create_backfill(house, nights[0], nights[-1])
    airflow.call("PATCH", "/dags/ingest", {"is_paused": False})
    runs = airflow.ended("ingest", "backfill", NIGHTS)
    airflow.ended("personalize", "asset_triggered")
    assert [run["state"] for run in runs] == ["success"] * NIGHTS
    called, alerts = without_alerts(house.journal())
    order = steps({"journal": called})
    assert sorted((call["as_of"], call["start"], call["end"]) for call in called if call["step"] == "plan") == [
        (night.replace(hour=0).isoformat(), *[str((night - timedelta(days=1)).date())] * 2) for night in nights
    ]
    assert order.count("load") == NIGHTS * len(UNITS)
    assert order[-6:] == ONCE
    assert order.count("finish") == order.count("publish") == 1
    assert {call["as_of"] for call in called[-6:]} == {TICK.replace(hour=0).isoformat()}
    assert len(alerts) == 1, "`personalize` has a night to tell of, a backfill has not"


def test_a_range_by_hand(house: StandIns, airflow: Airflow) -> None:
    """Two dates and nothing else are one run of many days; then `personalize` runs once more, for the latest night."""
    airflow.call("POST", "/dags/ingest/dagRuns", json.loads(block("json", starting="{")))
    airflow.ended("ingest", "manual")
    airflow.ended("personalize", "asset_triggered", 2)
    (plan, *others), alerts = without_alerts(house.journal())
    assert len(alerts) == 2
    assert (plan["start"], plan["end"]) == ("2026-06-01", "2026-06-30")
    assert [call["step"] for call in others] == ["load"] * len(UNITS) + ONCE
    assert {call["as_of"] for call in house.journal()} == {TICK.replace(hour=0).isoformat()}


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
