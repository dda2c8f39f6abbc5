"""No address is told: not by a log, a report, a file or an error."""

from __future__ import annotations

import json
import logging

import pytest

from pipeline import alert, messenger
from pipeline.errors import ConfigurationError
from tests.pipeline import alerted
from tests.pipeline.alerted import STEP, URLS
from tests.pipeline.sink import TOKEN, Sink
from tests.pipeline.small import House
from tests.pipeline.website import DAY, NIGHT, WEB, export

house, sink, told = alerted.house, alerted.sink, alerted.told


def test_no_address_in_any_log(
    house: House, told: Sink, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Taken, refused, out of reach or not understood: no log at any level, no report and no file has the token."""
    caplog.set_level(logging.DEBUG)
    config = house.configure(WEB)
    said = []
    for number, (url, status) in enumerate(
        [(told.url, 200), (told.url, 500), (f"json://127.0.0.1:1/{TOKEN}", 0), (f"slack://{TOKEN}", 0)]
    ):
        told.status = status or 200
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(URLS, url)
            (house.folder / "exports").mkdir(exist_ok=True)
            export(house, DAY + number * STEP) if number % 2 else None
            report = alert.run(NIGHT + number * STEP, config)
            said.append(json.dumps(report.to_json()) + "\n".join(alert.lines(report, config)))
    out = capfd.readouterr()
    assert "is none that Apprise knows" in said[-1]
    kept = [path.read_text(errors="replace") for path in house.folder.rglob("*") if path.is_file()]
    texts = [*said, *kept, out.out, out.err, caplog.text, *(repr(one) for one in messenger.addresses(config))]
    assert [text for text in texts if TOKEN in text] == []
    assert told.got, "nothing was sent, so nothing was tested"


def test_what_does_log_is_heard_again(told: Sink) -> None:
    """Apprise and urllib3 are silenced while they speak of addresses, and no longer."""
    before = [logging.getLogger(name).level for name in ("apprise", "urllib3")]
    with messenger._quiet():
        assert not logging.getLogger("urllib3.connectionpool").isEnabledFor(logging.CRITICAL)
    assert [logging.getLogger(name).level for name in ("apprise", "urllib3")] == before


def test_a_bad_address_names_its_place_only(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which of them it is, and nothing of it."""
    config = house.configure(WEB)
    monkeypatch.setenv(URLS, f"json://127.0.0.1:1/ nonsense-{TOKEN}")
    with pytest.raises(ConfigurationError, match="number 2 of 2 addresses") as refused:
        messenger.addresses(config)
    assert TOKEN not in str(refused.value)


@pytest.mark.parametrize("key", ["urls_env", "urls", "airflow_url"])
def test_an_address_in_the_file_is_refused_unseen(house: House, key: str) -> None:
    """Whoever writes it where the variable's name belongs does not read it in a log."""
    with pytest.raises(ConfigurationError, match=f"alerts.{key}") as refused:
        house.configure(f'[alerts]\n{key} = "slack://{TOKEN}@{TOKEN}/?key={TOKEN}"\n')
    assert TOKEN not in str(refused.value)
