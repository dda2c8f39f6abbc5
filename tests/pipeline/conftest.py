"""MLflow for the tests of the records."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.records import Tracker

if TYPE_CHECKING:
    from mlflow import MlflowClient

_numbers = itertools.count()


@pytest.fixture(scope="session")
def mlflow_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One database for all tests: making it costs seconds, a new project in it nothing."""
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture
def tracker(mlflow_folder: Path) -> Tracker:
    """A project that no other test knows."""
    return Tracker(mlflow_folder, f"project{next(_numbers)}")


@pytest.fixture
def client(tracker: Tracker) -> MlflowClient:
    """MLflow as anyone else sees it."""
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=tracker.uri, registry_uri=tracker.uri)
