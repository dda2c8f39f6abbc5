"""Runs the real DAG files in this process, without scheduler, ports or waiting: what `shortlist run` and CI do.

The one module of the pipeline that imports Airflow, and it does so inside functions: the environment must be set first.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

from pipeline import airflow_environment, config
from pipeline.errors import ShortlistError
from pipeline.lake import Lake

OnTask = Callable[[str, str, int, str], None]
"""Called when a task starts and when it ends, with dag_id, task_id, map_index (-1 when it is not mapped) and its state:
"running", then "success", "skipped" or "failed". It is not called for a task that a branch has passed by.
"""

NIGHT = ("ingest", "personalize")


@dataclass
class _Watcher:
    """Tells `on_task` what happens, and keeps the first failure as the exception object it was."""

    on_task: OnTask
    failure: BaseException | None = None
    results: dict[str, Any] = field(default_factory=dict)

    def watch(self, dag: Any) -> None:
        """Have every task of `dag` report here, and fail at once: somebody is looking at a terminal, waiting.

        There is no scheduler here that would see a deadline pass; and `dag.test` of Airflow 3.3 stumbles over one when
        the run succeeds, since it looks up an id that only a DAG from the database has.
        """
        dag.deadline = None
        for task in dag.tasks:
            task.retries = 0
            task.on_execute_callback = [self._reporter("running")]
            task.on_success_callback = [self._reporter("success")]
            task.on_skipped_callback = [self._reporter("skipped")]
            task.on_failure_callback = [*task.on_failure_callback, self._failed]

    def _reporter(self, state: str) -> Callable[[Any], None]:
        return lambda context: self._report(context, state)

    def _failed(self, context: Any) -> None:
        self.failure = self.failure or context.get("exception")
        self._report(context, "failed")
        if isinstance(self.failure, KeyboardInterrupt):
            raise self.failure  # a task that is interrupted is a failed one to Airflow, which would go on with the next

    def _report(self, context: Any, state: str) -> None:
        ti = context["ti"]
        self.on_task(ti.dag_id, ti.task_id, -1 if ti.map_index is None else ti.map_index, state)


def run_dags(
    config_path: Path,
    as_of: datetime,
    retrain: bool,
    on_task: OnTask,
    *,
    dag_ids: Sequence[str] = NIGHT,
    dags_folder: Path | None = None,
) -> dict[str, Any]:
    """Run `ingest` for `as_of` and then, as the asset `lake` would have it, `personalize`.

    Airflow's database and logs are in `<state>/airflow/local`, apart from those of `shortlist up`: a scheduler that saw
    these runs would take them for its own. The same `as_of` again replaces its earlier run there.

    Args:
        config_path: `shortlist.toml`.
        as_of: The instant to run for; with a time zone.
        retrain: Train a challenger whatever the drift check says.
        on_task: See `OnTask`.
        dag_ids: What to run, in this order.
        dags_folder: Where the DAG files are; by default those of this checkout.

    Returns:
        What each task returned (its small JSON report), by "<dag_id>.<task_id>"; a mapped task's is a list.

    Raises:
        ShortlistError: A task raised it (the very exception comes out), another run is under way here, or Airflow was
            already set up in this process for another place.
        Exception: A task raised something else: the very exception comes out, with its traceback.
    """
    home = _home(config_path)
    folder = dags_folder or airflow_environment.dags_folder()
    watcher = _Watcher(on_task)
    with _only_one(home):
        _enter(airflow_environment.settings(home, config_path, folder))
        _import_airflow(home)
        dags = _load(folder)
        _migrate(home)
        for dag_id in dag_ids:
            _run_dag(dags[dag_id], as_of, retrain, watcher)
    return watcher.results


def _home(config_path: Path) -> Path:
    home = Lake.of(config.load(config_path)).airflow / "local"
    home.mkdir(parents=True, exist_ok=True)
    return home


@contextlib.contextmanager
def _only_one(home: Path) -> Iterator[None]:
    """Two runs in one database would take each other's tasks; the lock goes with the process, however that ends."""
    with (home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ShortlistError(
                f"{home}: another `shortlist run` is under way here. Wait for it to end, or stop it."
            ) from None
        yield


def _enter(settings: dict[str, str]) -> None:
    """Set the environment, which Airflow reads when it is imported and not again."""
    if "airflow" in sys.modules and os.environ.get("AIRFLOW_HOME") != settings["AIRFLOW_HOME"]:
        raise ShortlistError(
            f"Airflow is already set up in this process for {os.environ.get('AIRFLOW_HOME', 'its default folder')}; "
            f"cannot run in {settings['AIRFLOW_HOME']} too. Use a process for each configuration."
        )
    os.environ.update(settings)


@cache
def _import_airflow(home: Path) -> None:
    """Import and set up Airflow: once a process.

    What Airflow logs goes to a file that is deliberately left open for as long as the process lives: the handlers of
    `logging` keep the standard output of the moment they are made, and structlog asks for its file now and then.
    """
    log = _log_file(home)
    with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        import airflow.settings
        import structlog

        airflow.settings.initialize()
        structlog.configure(logger_factory=structlog.WriteLoggerFactory(log))
        speak_one_version()


def speak_one_version() -> None:
    """Have Airflow lay out the interface that tasks talk to once: in their own version, which is the newest.

    It keeps nine, for workers of older releases. Here there are none, and to lay out all nine takes a third of a small
    night. A release whose tasks speak another version than the newest gets all of them.
    """
    from airflow.api_fastapi.execution_api import versions
    from airflow.api_fastapi.execution_api.routes import execution_api_router
    from airflow.sdk.api.datamodels._generated import API_VERSION
    from cadwyn import HeadVersion, Version, VersionBundle
    from cadwyn.route_generation import _DELETED_ROUTE_TAG

    every = versions.bundle
    if len(every.versions) > 1 and every.versions[0].value == API_VERSION:
        versions.bundle = VersionBundle(HeadVersion(), Version(API_VERSION), api_version_var=every.api_version_var)
        routes = execution_api_router.routes  # those that only older versions have must not be there without these
        routes[:] = [route for route in routes if _DELETED_ROUTE_TAG not in getattr(route, "tags", ())]


def _log_file(home: Path) -> TextIO:
    (home / "logs").mkdir(exist_ok=True)
    return (home / "logs" / "run.log").open("a", encoding="utf-8", buffering=1)


def _migrate(home: Path) -> None:
    """Creating the tables takes seconds, so a file remembers for which Airflow it was done."""
    done, wanted = home / "airflow.db.version", version("apache-airflow-core")
    if (home / "airflow.db").exists() and done.exists() and done.read_text() == wanted:
        return
    from airflow.utils.db import initdb

    initdb()
    done.write_text(wanted)


def _load(folder: Path) -> dict[str, Any]:
    from airflow.dag_processing.dagbag import BundleDagBag

    bag = BundleDagBag(dag_folder=folder, bundle_path=folder, bundle_name="shortlist")
    if bag.import_errors:
        raise ShortlistError("\n".join(f"{file} cannot be imported:\n{why}" for file, why in bag.import_errors.items()))
    return bag.dags


def _run_dag(dag: Any, as_of: datetime, retrain: bool, watcher: _Watcher) -> None:
    asked = {"as_of": as_of.isoformat(), "retrain": retrain}
    watcher.watch(dag)
    # The instant stands in as the logical date, so that running a night again replaces its earlier run.
    run = dag.test(logical_date=as_of, run_conf={key: value for key, value in asked.items() if key in dag.params})
    if watcher.failure is not None:
        raise watcher.failure
    if run.state != "success":
        raise ShortlistError(f"DAG {dag.dag_id} ended as {run.state}, though none of its tasks says why; see its log.")
    watcher.results |= _results(run)


def _results(run: Any) -> dict[str, Any]:
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    query = XComModel.get_many(run_id=run.run_id, dag_ids=run.dag_id, key="return_value")
    found: dict[str, Any] = {}
    with create_session() as session:
        rows: Any = session.scalars(query)  # XComModel, though the query says tuples of it
        for xcom in sorted(rows, key=lambda row: row.map_index):
            name, value = f"{xcom.dag_id}.{xcom.task_id}", XComModel.deserialize_value(xcom)
            if xcom.map_index < 0:
                found[name] = value
            else:
                found.setdefault(name, []).append(value)
    return found
