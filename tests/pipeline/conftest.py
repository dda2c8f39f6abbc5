"""MLflow for the tests of the records, and buckets of an S3 server for those of the stores."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

from pipeline import mlflow_client
from pipeline.records import Tracker

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from tests.pipeline.buckets import Bucket, Door

_numbers = itertools.count()


@pytest.fixture(scope="session")
def mlflow_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One database for all tests: making it costs seconds, a new project in it nothing."""
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture(scope="module", autouse=True)
def _laid_out(request: pytest.FixtureRequest, mlflow_folder: Path) -> Iterator[None]:
    """Every new database begins as a copy of an empty one of MLflow's, which lays one out by all its migrations.

    The tests of MLflow's folder have it done from nothing each time, as every night in a process of its own has.
    """
    lock, empty = mlflow_client._lock, mlflow_folder.with_name(f"{mlflow_folder.name}-empty")

    def laid_out(tracker: Tracker) -> IO[bytes]:
        if tracker.folder != empty and not (empty / "mlflow.db").exists():
            with mlflow_client.exclusive(Tracker(empty, "empty")) as client:
                client.search_experiments()
        held = lock(tracker)
        if tracker.folder != empty and not tracker.exists:
            shutil.copyfile(empty / "mlflow.db", tracker.folder / "mlflow.db")
        return held

    with pytest.MonkeyPatch.context() as patch:
        if request.path.stem != "test_mlflow_client":
            patch.setattr(mlflow_client, "_lock", laid_out)
        yield


@pytest.fixture
def tracker(mlflow_folder: Path) -> Tracker:
    """A project that no other test knows."""
    return Tracker(mlflow_folder, f"project{next(_numbers)}")


@pytest.fixture
def client(tracker: Tracker) -> MlflowClient:
    """MLflow as anyone else sees it."""
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=tracker.uri, registry_uri=tracker.uri)


@pytest.fixture(name="s3_server", scope="session")
def _s3_server() -> Iterator[tuple[str, Door]]:
    """One for all tests of a process: importing moto costs a second."""
    from tests.pipeline import buckets

    with buckets.server() as found:
        yield found


@pytest.fixture
def bucket(s3_server: tuple[str, Door], monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """An empty one that no other test knows, found by what is in the environment."""
    from tests.pipeline import buckets

    address, door = s3_server
    buckets.environment(monkeypatch, address)
    one = buckets.Bucket(address, f"bucket{next(_numbers)}", door)
    one.ask("PUT")
    return one
