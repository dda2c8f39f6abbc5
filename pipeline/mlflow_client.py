"""MLflow opened by one process at a time, quietly: `<folder>/mlflow.db` is SQLite, which has one writer."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from pipeline import disk
from pipeline.errors import ShortlistError
from pipeline.records import Tracker

if TYPE_CHECKING:
    from mlflow import MlflowClient

BATCH = 1000
"""MLflow's limit on entities a request; parameters and tags have one of 100."""


@contextmanager
def exclusive(tracker: Tracker) -> Iterator[MlflowClient]:
    """An MLflow client with the folder to ourselves: SQLite has one writer, and two first uses would make it twice.

    What MLflow refuses comes out as ShortlistError.
    """
    tracker.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _lock(tracker):
        _calm_mlflow()
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield MlflowClient(tracking_uri=tracker.uri, registry_uri=tracker.uri)
        except (MlflowException, SQLAlchemyError) as error:
            raise ShortlistError(
                f"MLflow in {tracker.folder} refused: {error}. If another release of MLflow made mlflow.db, run "
                "`mlflow db upgrade` on it; if the file is damaged, restore it from a backup"
            ) from error


def _lock(tracker: Tracker) -> IO[bytes]:
    lock = disk.wait_for_lock(path := tracker.folder / ".lock", tracker.lock_seconds)
    if lock is None:
        raise ShortlistError(
            f"MLflow in {tracker.folder} was busy for {tracker.lock_seconds:g} s: another process holds {path}. "
            "Wait for it or end it, then run this again"
        )
    return lock


def _calm_mlflow() -> None:
    """Before MLflow is imported, as it reads its switches then: nothing is sent anywhere, and progress goes unreported.

    MLflow and alembic tell of each migration of a new database at INFO; their warnings and errors still come through.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow  # noqa: F401  it sets up its own logger, so ours comes after

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
