"""A process that has imported everything and run nothing, from which runs of `shortlist` are forked.

Starting and importing take longer than a small night itself; a test that kills many of them cannot wait for that.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from pipeline import airflow_environment, config, local_airflow
from tests.worlds import HOUSE, QUIET

MODULES = (
    "a2wsgi",
    "airflow.api_fastapi.execution_api.app",
    "airflow.dag_processing.bundles.local",
    "airflow.dag_processing.collection",
    "airflow.dag_processing.dagbag",
    "airflow.models.renderedtifields",
    "airflow.models.xcom",
    "airflow.providers.standard.decorators.branch_python",
    "airflow.providers.standard.decorators.python",
    "airflow.providers.standard.operators.python",
    "airflow.sdk.definitions.decorators",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.timetables.trigger",
    "airflow.utils.db",
    "great_expectations.render.renderer.site_builder",
    "matplotlib.pyplot",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.tracking",
    "optuna",
    "sklearn.linear_model",
    "xgboost",
    *(f"pipeline.{step}" for step in ("build_features", "check_drift", "cli", "grade", "ingest", "local_airflow")),
    *(f"pipeline.{step}" for step in ("publish", "rank", "summary", "tracking", "train")),
)


class Zygote:
    """Starts runs in a world's folder, one at a time; leaving the context ends it."""

    def __init__(self, world_config: Path) -> None:
        # A library's threads do not live through a fork: one thread each, so that none is started before it.
        environment = {**os.environ, **QUIET, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HOUSE)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.zygote", str(world_config)],
            cwd=world_config.parents[1],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._read() == "ready"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def run(self, arguments: Sequence[str], log: Path) -> float:
        """Let a run come to its end, and return its seconds; `log` gets what it writes."""
        status, seconds = self._order(arguments, log, None)
        assert status == 0, f"shortlist {' '.join(arguments)} ended with {status}:\n{log.read_text(encoding='utf-8')}"
        return seconds

    def end(self, arguments: Sequence[str], log: Path) -> int:
        """Let a run come to its end, good or bad, and return its exit code; `log` gets what it writes."""
        status, _ = self._order(arguments, log, None)
        return int(status)

    def kill(self, arguments: Sequence[str], log: Path, after_seconds: float) -> bool:
        """Start a run and kill all of its processes after so long; whether there was still something to kill."""
        status, _ = self._order(arguments, log, after_seconds)
        assert status in {0, -signal.SIGKILL}, log.read_text(encoding="utf-8")
        return status != 0

    def _order(self, arguments: Sequence[str], log: Path, after_seconds: float | None) -> tuple[int, float]:
        assert self._process.stdin is not None
        tell(self._process.stdin, [list(arguments), str(log), after_seconds])
        status, seconds = self._read()
        return status, seconds

    def _read(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


# ---------------------------------------------------------------- in the process itself


def serve(world_config: Path) -> None:
    """Import everything, then do what is ordered, line by line."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer
    settings = config.load(world_config)
    home = settings.folder(settings.project.state) / "airflow" / "local"
    os.environ.update(airflow_environment.settings(home, world_config))  # Airflow reads it when it is imported
    gc.disable()  # what is imported stays
    for module in MODULES:
        importlib.import_module(module)
    local_airflow.speak_one_version()
    asyncio.run(lay_out_routes())
    gc.enable()
    gc.freeze()  # a child's collector would else touch, and so copy, every page of what is imported
    tell(answers, "ready")
    for line in sys.stdin:
        arguments, log, after_seconds = json.loads(line)
        started = time.monotonic()
        child = fork(arguments, log)
        if after_seconds is not None:
            time.sleep(after_seconds)
            os.killpg(child, signal.SIGKILL)  # it is there, even if it has ended: nobody has waited for it yet
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        tell(answers, [status, time.monotonic() - started])


async def lay_out_routes() -> None:
    """Have the application that Airflow's tasks talk to answer once: it lays out its routes, which takes seconds.

    The path is nobody's, so that no thread is started to answer it.
    """
    import httpx
    from airflow.sdk.execution_time.supervisor import in_process_api_server

    async with httpx.AsyncClient(transport=in_process_api_server().atransport, base_url="http://here") as client:
        assert (await client.get("/nowhere")).status_code == httpx.codes.NOT_FOUND


def tell(reader: IO[str], what: Any) -> None:
    """One line of JSON."""
    reader.write(json.dumps(what) + "\n")
    reader.flush()


def fork(arguments: Sequence[str], log: str) -> int:
    """A run in a process group of its own; returns when that group exists."""
    ready, begun = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        os.close(begun)
        os._exit(run(arguments, log))
    os.close(begun)
    os.read(ready, 1)  # ends when the child, too, has closed its end
    os.close(ready)
    return child


def run(arguments: Sequence[str], log: str) -> int:
    """What the console script does; everything that is written goes to `log`."""
    from pipeline import cli

    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (0, 1, 2):
        os.dup2(os.open(os.devnull, os.O_RDONLY) if stream == 0 else written, stream)
    sys.argv = ["shortlist", *arguments]
    try:
        cli.main()
    except SystemExit as stopped:
        return int(stopped.code or 0)
    except BaseException:  # noqa: BLE001 - a child must end here, and never go on as if it were the zygote
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
