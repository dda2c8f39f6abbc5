"""The settings under which our DAGs run, as environment variables: our DAG folder and no other, quiet, no telemetry."""

from __future__ import annotations

import json
from pathlib import Path

import pipeline
from pipeline.config import CONFIG_ENV
from pipeline.errors import ConfigurationError

MAX_MAPPED_TASKS = 20_000
"""A backfill maps one task a (source, day): ten sources over five years fit. Airflow's default is 1024."""

LOCKED_FOR = 60
"""Seconds for which a write waits for another's. SQLite's own 5 are too few on a busy machine: four services write."""


def dags_folder() -> Path:
    """The folder of our DAG files, beside the installed packages.

    Raises:
        ConfigurationError: It is not there, because the packages were installed without the checkout.
    """
    folder = Path(pipeline.__file__).resolve().parents[1] / "dags"
    if not folder.is_dir():
        raise ConfigurationError(f"{folder}: no DAG files here. Install from a checkout: `make setup`.")
    return folder


def settings(home: Path, config_path: Path, dags: Path | None = None) -> dict[str, str]:
    """What Airflow and our steps read from the environment.

    Args:
        home: Airflow's own folder: its database and logs.
        config_path: `shortlist.toml`; tasks find it through the environment.
        dags: The folder of DAG files; by default `dags_folder()`.
    """
    return {
        CONFIG_ENV: str(config_path.resolve()),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags or dags_folder()),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": _bundles(dags or dags_folder()),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__MAX_MAP_LENGTH": str(MAX_MAPPED_TASKS),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}?timeout={LOCKED_FOR}",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
        "GX_ANALYTICS_ENABLED": "false",
    }


def _bundles(dags: Path) -> str:
    bundle = "airflow.dag_processing.bundles.local.LocalDagBundle"
    kwargs = {"path": str(dags), "refresh_interval": 10}
    return json.dumps([{"name": "shortlist", "classpath": bundle, "kwargs": kwargs}])
