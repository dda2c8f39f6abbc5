"""A company whose alerts go to a web server on this machine, and what it has to tell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline import snapshot
from pipeline.alert import AlertReport
from tests.pipeline import nights
from tests.pipeline.sink import Sink, listening
from tests.pipeline.small import House
from tests.pipeline.website import NIGHT, WEB

STEP = timedelta(days=1)
URLS = "SHORTLIST_ALERT_URLS"


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    """A web server that listens while the tests of a module run."""
    with listening() as found:
        yield found


@pytest.fixture
def told(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> Sink:
    """The sink, empty, and named in the environment."""
    sink.taken()
    sink.status = 200
    monkeypatch.setenv(URLS, sink.url)
    return sink


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A company of one source, without exports."""
    house = House(tmp_path)
    house.configure(WEB)
    return house


def headings(sink: Sink) -> list[str]:
    """What was sent since the last time, by heading."""
    return [message["title"].partition(": ")[2] for message in sink.taken()]


def opened(report: AlertReport) -> list[tuple[str, str]]:
    """What began."""
    return [(one.kind, one.key) for one in report.opened]


def publish(house: House, number: int, people: int) -> None:
    """A snapshot of a numbered night in which so many people have a list."""
    tables = nights.ranked(number, people=people)
    root = house.lake.rankings
    snapshot.commit(root, snapshot.stage(root, tables, nights.facts(), nights.as_of(number)))


def decide(house: House, arms: list[dict[str, Any]], *, retrain: bool = False, as_of: Any = NIGHT) -> None:
    """A night's decision as the drift check writes it, with what else it may say one day."""
    decision = json.dumps({"retrain": retrain, "arms": arms, "something new": 1})
    house.lake.replace_night("decisions", pa.table({"decision": [decision]}), as_of)
