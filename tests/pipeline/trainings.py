"""The least that MLflow is told of a training, and what it says then."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from mlflow import MlflowClient

from pipeline import tracking
from pipeline.records import Tracker, TrainingRecord

NIGHT = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
FILES = {"click.ubj": b"\x00\x01click", "read.ubj": b"\x00\x01read", "bundle.json": b'{"weights": {}}'}


def record(as_of: datetime = NIGHT, **changes: Any) -> TrainingRecord:
    """The least that a training records, with changes."""
    return replace(TrainingRecord(as_of=as_of, goals=("click", "read"), files=FILES), **changes)


def trained(tracker: Tracker, as_of: datetime = NIGHT) -> str:
    """The version of a model trained for a night."""
    return tracking.log_training(tracker, record(as_of))


def runs(client: MlflowClient, experiment: str, condition: str = "") -> list[Any]:
    """The runs of an experiment, newest first."""
    return list(client.search_runs([experiment_id(client, experiment)], condition))


def experiment_id(client: MlflowClient, name: str) -> str:
    """The number of an experiment that exists."""
    found = client.get_experiment_by_name(name)
    assert found is not None
    return str(found.experiment_id)
