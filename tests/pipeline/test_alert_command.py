"""`shortlist alert` and what `shortlist doctor` says of its addresses."""

from __future__ import annotations

import pytest

from tests.pipeline import alerted
from tests.pipeline.alerted import URLS, headings
from tests.pipeline.sink import TOKEN, Sink
from tests.pipeline.small import House, shortlist
from tests.pipeline.website import NIGHT, export

house, sink, told = alerted.house, alerted.sink, alerted.told


def test_the_command(house: House, told: Sink, capsys: pytest.CaptureFixture[str]) -> None:
    """What holds and what was sent, in words or as JSON; `--overdue` tells that nothing is published."""
    command = ("alert", "--config", house.file, "--as-of", "2026-07-01")
    said = shortlist(capsys, *command, "--overdue")
    assert said.lacks("new: data late:", "new: deadline missed:", "2 messages sent to JSON; 0 waiting") == []
    found = shortlist(capsys, *command, "--json").json
    assert [one["since"] for one in found["open"]] == [NIGHT.isoformat()] * 2
    assert sorted(headings(told)) == ["data late", "deadline missed"]


@pytest.mark.parametrize(("status", "code"), [(200, 0), (500, 1)])
def test_trying_it_out(house: House, told: Sink, capsys: pytest.CaptureFixture[str], status: int, code: int) -> None:
    """A test message, which address took it, and an exit code; nothing is noted."""
    told.status = status
    said = shortlist(capsys, "alert", "--config", house.file, "--test")
    assert (said.code, "1 JSON: took it" in said.err) == (code, status == 200)
    assert [message["title"] for message in told.taken()] == ["small: test"] * (status == 200)
    assert not house.lake.alerts.exists()


def test_doctor_looks_at_the_addresses(
    house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """How many and of which service; one that is none is bad, and not shown."""
    export(house)
    monkeypatch.setenv(URLS, "json://127.0.0.1:1/ mailto://ann:secret@example.com")
    assert shortlist(capsys, "doctor", "--config", house.file).lacks("alerts: 2 addresses: JSON, E-Mail") == []
    monkeypatch.setenv(URLS, f"slack://{TOKEN}")
    said = shortlist(capsys, "doctor", "--config", house.file)
    assert said.code == 1
    assert TOKEN not in said.err
