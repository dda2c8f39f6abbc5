"""The little of Airflow's REST API that the tests of a running Airflow need."""

from __future__ import annotations

import json
import time
import urllib.request
from typing import Any

from pipeline.up import Services, get_json

PATIENCE_SECONDS = 240
ENDED = {"success", "failed"}


class Airflow:
    """A client of the Airflow that `services` run; runs that were there before the client are none to it."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.url = f"{services.airflow_url}/api/v2"
        self.token = get_json(f"{services.airflow_url}/auth/token")["access_token"]
        self.before = frozenset(run["dag_run_id"] for run in self.call("GET", "/dags/~/dagRuns")["dag_runs"])

    def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Send and receive JSON."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as response:
            answer: dict[str, Any] = json.load(response)
            return answer

    def start(self, dag_id: str, **conf: Any) -> None:
        """Ask for a run by hand, as the form does."""
        self.call("POST", f"/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf})

    def runs(self, dag_id: str, run_type: str) -> list[dict[str, Any]]:
        """The runs of a DAG that were started in this way: "manual", "backfill" or "asset_triggered"."""
        runs = self.call("GET", f"/dags/{dag_id}/dagRuns")["dag_runs"]
        return [run for run in runs if run["run_type"] == run_type and run["dag_run_id"] not in self.before]

    def ended(self, dag_id: str, run_type: str, count: int = 1) -> list[dict[str, Any]]:
        """Those runs, once there are so many and none is under way."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(runs := self.runs(dag_id, run_type)) < count or {run["state"] for run in runs} - {
            "success",
            "failed",
        }:
            self.services.check()
            assert time.monotonic() < deadline, f"{dag_id} has not ended: {runs}"
            time.sleep(2)  # each answer takes processor time that the tasks need
        return runs
