"""The guide on alerts, word for word: its addresses are ones, its settings are the defaults, its kinds are all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from apprise import Apprise

from pipeline import config
from pipeline.causes import KINDS
from pipeline.sections import Alerts
from tests.worlds import HOUSE

TEXT = (HOUSE / "docs" / "guides" / "alerts.md").read_text(encoding="utf-8")
ADDRESSES = dict(re.findall(r"^\| ([^|]+) \| `(\w+://[^`]+)` \|$", TEXT, re.MULTILINE))
SERVICES = {
    "Slack": "Slack",
    "Microsoft Teams": "Power Automate / Workflows (for MSTeams)",
    "Discord": "Discord",
    "E-mail": "E-Mail",
    "PagerDuty": "Pager Duty",
    "Opsgenie": "Opsgenie",
    "any webhook, as JSON": "JSON",
}


@pytest.mark.parametrize("name", SERVICES)
def test_addresses_are_understood(name: str) -> None:
    """Apprise makes of each the service that the guide says."""
    assert ADDRESSES.keys() == SERVICES.keys()
    service = Apprise.instantiate(ADDRESSES[name])
    assert service is not None
    assert str(service.service_name) == SERVICES[name]


def test_settings_are_the_defaults(tmp_path: Path) -> None:
    """Every key is there, and what it says is what holds where nothing is said."""
    (toml,) = re.findall(r"^```toml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    file = tmp_path / "shortlist.toml"
    file.write_text(toml, encoding="utf-8")
    found = config.load(file).alerts
    assert found == Alerts()
    assert found.model_fields_set == set(Alerts.model_fields)


def test_every_kind_is_told_of() -> None:
    """In the order of the code."""
    assert re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE) == list(KINDS)
