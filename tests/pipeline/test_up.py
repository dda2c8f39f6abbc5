"""Services that do not start are named, with the end of their log, and leave nothing behind."""

from __future__ import annotations

import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pipeline import up
from pipeline.errors import ShortlistError


@pytest.fixture(name="config_path")
def _config_path(tmp_path: Path) -> Path:
    file = tmp_path / "shortlist.toml"
    file.write_text('[project]\nname = "tiny"\n')
    return file


def test_free_port_is_the_preferred_one() -> None:
    """A port that nobody uses is taken as it is."""
    with socket.socket() as probe:
        probe.bind((up.LOOPBACK, 0))
        port = probe.getsockname()[1]
    assert up.free_port(port) == port


def test_busy_port_is_avoided() -> None:
    """Where somebody listens already, another port is found."""
    with socket.socket() as busy:
        busy.bind((up.LOOPBACK, 0))
        busy.listen()
        assert up.free_port(busy.getsockname()[1]) not in {0, busy.getsockname()[1]}


def test_database_that_cannot_be_set_up(config_path: Path) -> None:
    """A broken database is said before anything is started, with what Airflow said of it."""
    home = config_path.parent / "state" / "airflow" / "service"
    home.mkdir(parents=True)
    (home / "airflow.db").write_bytes(b"this is no database at all" * 100)
    with (
        pytest.raises(ShortlistError, match=r"cannot be set up:\n(?s:.*)file is not a database"),
        up.Services(config_path),
    ):
        pass


def test_ctrl_c_while_a_service_starts_leaves_nothing_behind(
    config_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is there before anybody could note that it is, is stopped like the others."""
    real, started = subprocess.Popen, []

    def interrupted(*arguments: Any, **more: Any) -> subprocess.Popen[bytes]:
        started.append(real(*arguments, **more))
        signal.raise_signal(signal.SIGINT)
        return started[-1]

    services = up.Services(config_path)
    (config_path.parent / "state" / "airflow" / "service" / "logs").mkdir(parents=True)
    monkeypatch.setattr(subprocess, "Popen", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background ignores Ctrl-C
    try:
        with pytest.raises(KeyboardInterrupt):
            services._spawn("calendar", "calendar")
    finally:
        signal.signal(signal.SIGINT, before)
    services.stop()
    assert [process.poll() for process in started] != [None]
