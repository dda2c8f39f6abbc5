"""Ranges of days in a real Airflow, over stand-in steps: what is loaded for each night, and that the lake is told once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from pipeline import airflow_environment, clock, config
from pipeline.lake import Lake
from pipeline.up import Services
from tests.dags.airflow_api import Airflow
from tests.dags.stand_in_house import StandIns

FIRST, NIGHTS = datetime(2026, 6, 2, 3, tzinfo=UTC), 6


@pytest.fixture(name="house", scope="module")
def _house(tmp_path_factory: pytest.TempPathFactory) -> StandIns:
    return StandIns(tmp_path_factory.mktemp("backfill"))


@pytest.fixture(name="airflow", scope="module")
def _airflow(house: StandIns) -> Iterator[Airflow]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(house.folder))
        with Services(house.world / "shortlist.toml", mlflow=False, airflow_port=0) as services:
            yield Airflow(services)


def test_all(house, airflow):
    import time
    (house.world / "plan.json").write_text(json.dumps({"units": [{"source": "web", "day": "2026-06-30"}]}))
    (house.world / "journal.jsonl").write_text("")
    airflow.call("PATCH", "/dags/ingest", {"is_paused": False})
    file = house.world / "shortlist.toml"
    settings = airflow_environment.settings(Lake.of(config.load(file)).airflow / "service", file)
    t = time.time()
    cmd = [sys.executable, "-m", "airflow", "backfill", "create", "--dag-id", "ingest", "--from-date", FIRST.isoformat(), "--to-date", (FIRST + timedelta(days=NIGHTS - 1)).isoformat(), "--max-active-runs", "4"]
    done = subprocess.run(cmd, env={**os.environ, **settings, "PYTHONPATH": str(house.folder)}, capture_output=True, text=True)
    print(done.returncode, done.stdout[-3000:], done.stderr[-3000:])
    print("create", time.time() - t)
    runs = airflow.ended("ingest", NIGHTS)
    print("ended", time.time() - t)
    print([(r["dag_run_id"], r["run_type"], r["state"]) for r in runs])
    p = airflow.ended("personalize", 1)
    print("ended", time.time() - t)
    time.sleep(5)
    print(airflow.runs("personalize"))
    for c in house.journal(): print(c)
    print(airflow.call("GET", "/dags/ingest/dagRuns/~/taskInstances?limit=100")["total_entries"])
    for ti in airflow.call("GET", "/dags/ingest/dagRuns/~/taskInstances?limit=100")["task_instances"]:
        if ti["task_id"] == "finish": print(ti["dag_run_id"], ti["state"], ti["start_date"], ti["end_date"])
    print(json.dumps(airflow.call("GET", "/dags/ingest/details")["params"], indent=1))
