"""What guards a local run before Airflow is even imported; what runs in it is in tests/dags/test_dags.py."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy

from pipeline import airflow_environment, local_airflow
from pipeline.errors import ConfigurationError, ShortlistError

AS_OF = datetime(2026, 7, 1, tzinfo=UTC)


def nobody(*event: object) -> None:
    """Listens to no task."""


@pytest.fixture(name="config_path")
def _config_path(tmp_path: Path) -> Path:
    file = tmp_path / "shortlist.toml"
    file.write_text('[project]\nname = "tiny"\nstate = "kept"\n')
    return file


def test_one_run_at_a_time(config_path: Path) -> None:
    """A second run of the same project is refused while the first holds the lock, and says where."""
    home = config_path.parent / "kept" / "airflow" / "local"
    home.mkdir(parents=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ShortlistError, match="another `shortlist run` is under way here"):
            local_airflow.run_dags(config_path, AS_OF, False, nobody)


def test_configuration_is_checked_first(tmp_path: Path) -> None:
    """Without a configuration nothing is created."""
    with pytest.raises(ConfigurationError, match="no such file"):
        local_airflow.run_dags(tmp_path / "missing.toml", AS_OF, False, nobody)
    assert list(tmp_path.iterdir()) == []


def test_importing_it_does_not_import_airflow() -> None:
    """`shortlist --help` must not wait for Airflow, and Airflow must not be set up before its environment is."""
    code = "import pipeline.local_airflow, pipeline.up, sys; sys.exit('airflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_broken_dag_file_is_named(config_path: Path) -> None:
    """A DAG file that cannot be imported stops the run with its name and the reason."""
    dags = config_path.parent / "dags"
    dags.mkdir()
    (dags / "broken.py").write_text("from airflow.sdk import dag\nimport no_such_module\n")
    code = (
        "import sys; from datetime import UTC, datetime; from pathlib import Path; from pipeline import local_airflow\n"
        "config, dags = map(Path, sys.argv[1:])\n"
        "local_airflow.run_dags(config, datetime(2026, 7, 1, tzinfo=UTC), False, print, dags_folder=dags)"
    )
    done = subprocess.run([sys.executable, "-c", code, config_path, dags], capture_output=True, text=True, check=False)
    assert "ShortlistError: broken.py cannot be imported" in done.stderr
    assert "No module named 'no_such_module'" in done.stderr


def test_settings_stay_on_this_machine(config_path: Path) -> None:
    """Airflow finds our DAGs and the configuration, keeps its files in its home, and reports to nobody."""
    home = config_path.parent / "home"
    found = airflow_environment.settings(home, config_path)
    assert found["SHORTLIST_CONFIG"] == str(config_path)
    assert (Path(found["AIRFLOW__CORE__DAGS_FOLDER"]) / "ingest.py").is_file()
    assert found["AIRFLOW__CORE__DAGS_FOLDER"] in found["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"]
    home.mkdir()
    engine = sqlalchemy.create_engine(found["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
    with engine.connect() as connection:
        waits = connection.exec_driver_sql("PRAGMA busy_timeout").scalar()
    assert waits == 60_000, "milliseconds"
    assert (home / "airflow.db").is_file()
    assert found["AIRFLOW__USAGE_DATA_COLLECTION__ENABLED"] == "False"
    assert found["MLFLOW_DISABLE_TELEMETRY"] == "true"
