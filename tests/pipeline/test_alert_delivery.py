"""No alert is lost: services that are down, addresses that are none, and runs that are killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import alert, alert_state
from pipeline.causes import State
from pipeline.errors import ShortlistError
from tests.pipeline import alerted
from tests.pipeline.alerted import STEP, URLS, headings, opened
from tests.pipeline.sink import Sink, listening
from tests.pipeline.small import House
from tests.pipeline.website import NIGHT, WEB, export

house, sink, told = alerted.house, alerted.sink, alerted.told


def test_a_service_that_is_down_is_told_later(house: House, told: Sink) -> None:
    """No failure of the night; what it missed it gets with the next run, in order, and the others nothing twice."""
    config = house.configure(WEB)
    with listening() as other, pytest.MonkeyPatch.context() as patch:
        patch.setenv(URLS, f"{told.url}\n{other.url}")
        other.status = 500
        report = alert.run(NIGHT, config)
        assert (report.sent, report.waiting) == (0, 1)
        assert report.notes == ("1 messages could not be delivered to JSON; the next run sends them again",)
        export(house)
        assert alert.run(NIGHT, config).waiting == 2
        assert headings(told) == ["data late", "resolved: data late"]
        other.status = 200
        assert alert.run(NIGHT, config).waiting == 0
        assert headings(other) == ["data late", "resolved: data late"]
        assert headings(told) == []


def test_killed_between_sending_and_noting(house: House, told: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message is sent once more, and then no more."""
    config, write = house.configure(WEB), alert_state.write

    def dies(file: Path, state: State) -> None:
        if not state.outbox:
            raise SystemExit  # nothing catches it, so nothing more is written, as when the process is killed
        write(file, state)

    with monkeypatch.context() as patch:
        patch.setattr(alert_state, "write", dies)
        with pytest.raises(SystemExit):
            alert.run(NIGHT, config)
    assert headings(told) == ["data late"]
    assert alert.run(NIGHT, config).sent == 1
    assert alert.run(NIGHT, config).sent == 0
    assert headings(told) == ["data late"]


def test_nobody_to_tell(house: House, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state is kept and shown all the same; whoever is named later hears what still holds."""
    monkeypatch.delenv(URLS, raising=False)
    config = house.configure(WEB)
    report = alert.run(NIGHT, config)
    assert (opened(report), report.addresses, report.sent) == ([("late", "web")], (), 0)
    assert "nobody is told: SHORTLIST_ALERT_URLS names no address" in alert.lines(report, config)
    sink.taken()
    monkeypatch.setenv(URLS, sink.url)
    assert alert.run(NIGHT + STEP, config).sent == 1
    assert headings(sink) == ["data late"]


def test_an_address_with_a_typo_loses_nothing(house: House, told: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be sent anywhere waits for the address to be put right."""
    config = house.configure(WEB)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(URLS, "jsn://127.0.0.1")
        assert (alert.run(NIGHT, config).waiting, told.taken()) == (1, [])
    assert alert.run(NIGHT, config).sent == 1
    assert headings(told) == ["data late"]


def test_a_state_that_is_none_is_said(house: House, told: Sink) -> None:
    """Not taken for an empty one, which would tell everything again."""
    config = house.configure(WEB)
    alert.run(NIGHT, config)
    (house.lake.alerts / alert_state.FILE).write_text('{"as_of": 1}')
    with pytest.raises(ShortlistError, match="Restore it, or remove it"):
        alert.run(NIGHT, config)
