"""`shortlist up`: Airflow with its scheduler and pages, and MLflow's pages, on this machine's loopback address only.

Not `airflow standalone`: that starts the scheduler before the API server answers, opens log servers to the network, and
leaves children behind when it is terminated.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import typer

from pipeline import airflow_environment, config, tracking
from pipeline.errors import ShortlistError
from pipeline.lake import Lake
from pipeline.records import Tracker

LOOPBACK = "127.0.0.1"
START_SECONDS = 180.0
"""How long a service may take to answer: ten times what a quiet machine needs."""
GRACE_SECONDS = 20.0
"""How long a service may take to stop before it is killed."""
AIRFLOW_PARTS = frozenset({"metadatabase", "scheduler", "triggerer", "dag_processor"})


class Services:
    """Airflow's four processes and MLflow's server, as a context manager: all up inside, none left behind after.

    Each runs in a process group of its own and logs to `<state>/airflow/service/logs/<name>.log`. Whoever can reach the
    loopback address is an administrator: on a machine that is shared with people you do not trust, do not use it.

    Args:
        config_path: `shortlist.toml`.
        mlflow: Whether to start MLflow's pages too.
        airflow_port: Preferred port; another free one is taken when it is busy.
        mlflow_port: As `airflow_port`.
    """

    def __init__(
        self, config_path: Path, *, mlflow: bool = True, airflow_port: int = 8080, mlflow_port: int = 5000
    ) -> None:
        settings = config.load(config_path)
        lake = Lake.of(settings)
        self._home = lake.airflow / "service"
        self._tracker = Tracker(lake.tracking, settings.project.name)
        self._mlflow_port = free_port(mlflow_port) if mlflow else None
        port = free_port(airflow_port)
        self.airflow_url = f"http://{LOOPBACK}:{port}"
        self.mlflow_url = f"http://{LOOPBACK}:{self._mlflow_port}" if mlflow else None
        self._environment = _environment(self._home, config_path, port)
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _start(self) -> None:
        (self._home / "logs").mkdir(parents=True, exist_ok=True)
        self._migrate()
        port = self.airflow_url.rpartition(":")[2]
        self._spawn("api-server", "airflow", "api-server", "--host", LOOPBACK, "--port", port, "--workers", "1")
        self._spawn("dag-processor", "airflow", "dag-processor")
        if self._mlflow_port is not None:
            self._spawn("mlflow", *_mlflow_command(self._tracker, self._mlflow_port))
        # Tasks talk to the API server: a scheduler that is up before it fails its first ones.
        self._await("the API server", lambda: "metadatabase" in self._healthy_parts())
        self._spawn("scheduler", "airflow", "scheduler", "--skip-serve-logs")
        self._spawn("triggerer", "airflow", "triggerer", "--skip-serve-logs")
        self._await("Airflow", lambda: self._healthy_parts() >= AIRFLOW_PARTS)
        if self.mlflow_url is not None:
            self._await("MLflow", lambda: _answers(f"{self.mlflow_url}/health"))

    @property
    def trainings_page(self) -> str:
        """What comes after MLflow's address; nothing where there is no training yet."""
        return tracking.trainings_page(self._tracker) or ""

    def check(self) -> None:
        """See that all are still alive.

        Raises:
            ShortlistError: One has ended; the message has the end of its log.
        """
        for name, process in self.running.items():
            if (code := process.poll()) is not None:
                raise ShortlistError(
                    f"{name} ended with exit code {code}. The end of {self._log(name)}:\n{self._tail(name)}"
                )

    def stop(self) -> None:
        """Ask every process group to end, the last started first; kill what has not after `GRACE_SECONDS`."""
        stopping = list(reversed(self.running.values()))
        for process in stopping:
            _signal(process, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        for process in stopping:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            _signal(process, signal.SIGKILL)  # also what the process has left behind in its group
            process.wait()
        self.running.clear()

    def _migrate(self) -> None:
        command = [sys.executable, "-m", "airflow", "db", "migrate"]
        with self._log("migrate").open("wb") as log:
            done = subprocess.run(command, env=self._environment, stdout=log, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            raise ShortlistError(f"Airflow's database in {self._home} cannot be set up:\n{self._tail('migrate')}")

    def _spawn(self, name: str, module: str, *arguments: str) -> None:
        with self._log(name).open("wb") as log, _interrupts_wait():
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=self._home,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _await(self, what: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise ShortlistError(f"{what} did not answer within {START_SECONDS:.0f} s. See {self._home / 'logs'}.")
            time.sleep(0.2)

    def _healthy_parts(self) -> set[str]:
        try:
            health = get_json(f"{self.airflow_url}/api/v2/monitor/health")
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return set()
        return {part for part, state in health.items() if state and state.get("status") == "healthy"}

    def _log(self, name: str) -> Path:
        return self._home / "logs" / f"{name}.log"

    def _tail(self, name: str) -> str:
        return "\n".join(self._log(name).read_text(encoding="utf-8", errors="replace").splitlines()[-20:])


def run(
    config_path: Path, say: Callable[[str], object] = typer.echo, *, airflow_port: int = 8080, mlflow_port: int = 5000
) -> None:
    """Start everything, say where it is, and stay until Ctrl-C or SIGTERM; then stop everything.

    Raises:
        ShortlistError: A service did not start, or ended on its own.
    """
    with _terminable(), contextlib.suppress(KeyboardInterrupt):
        say("Starting Airflow and MLflow …")
        with Services(config_path, airflow_port=airflow_port, mlflow_port=mlflow_port) as services:
            say(f"Airflow  {services.airflow_url}  (unpause `ingest` to have it run every night)")
            say(f"MLflow   {services.mlflow_url}{services.trainings_page}")
            say("Ctrl-C stops both.")
            while True:
                services.check()
                time.sleep(1.0)


def free_port(preferred: int) -> int:
    """`preferred` if nothing listens there on the loopback address, else a port that the system picks."""
    for port in (preferred, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((LOOPBACK, port))
            return int(probe.getsockname()[1])
    raise ShortlistError(f"no free port on {LOOPBACK}: close something that listens there")


def get_json(url: str) -> dict[str, Any]:
    """GET a JSON object from a service of ours: never through a proxy, whatever the environment says."""
    with _open(url) as response:
        found: dict[str, Any] = json.load(response)
        return found


def _answers(url: str) -> bool:
    try:
        with _open(url):
            return True
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def _open(url: str) -> Any:
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10)


def _environment(home: Path, config_path: Path, port: int) -> Mapping[str, str]:
    url = f"http://{LOOPBACK}:{port}"
    direct = ",".join(filter(None, [os.environ.get("NO_PROXY"), LOOPBACK, "localhost"]))
    return {
        **os.environ,
        **airflow_environment.settings(home, config_path),
        "AIRFLOW__API__HOST": LOOPBACK,
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(64),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "NO_PROXY": direct,
        "no_proxy": direct,
    }


def _mlflow_command(tracker: Tracker, port: int) -> list[str]:
    tracker.folder.mkdir(parents=True, exist_ok=True)
    store = ["--backend-store-uri", tracker.uri]
    return ["mlflow", "server", *store, "--host", LOOPBACK, "--port", str(port), "--workers", "1"]


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """To the whole group; one that is gone needs none."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


@contextlib.contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait inside: a process that is there, and that nobody knows of yet, would be left behind."""
    came: list[int] = []
    handlers = {
        number: signal.signal(number, lambda number, frame: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for one in came:
        signal.raise_signal(one)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends us as Ctrl-C does: through the `with` blocks, not past them."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
