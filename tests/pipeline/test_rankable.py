"""Who may be ranked on a night: objections from the CRM and from browsers, consent left open, visitors."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from pipeline.config import Config
from pipeline.night import WHO, Archive, Night
from tests.pipeline.lakes import (
    END,
    NIGHT,
    config_in,
    event,
    fortnight,
    joined,
    night_of,
    tables,
    written,
)

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Settings whose history is shorter than the fortnight."""
    return config_in(tmp_path_factory.mktemp("night"))


@pytest.fixture
def night(config: Config) -> Callable[..., Night]:
    """The night of a few rows."""
    return partial(night_of, config)


def rankable(found: Night, config: Config) -> list[int]:
    """Who may be ranked."""
    ids: list[int] = found.rankable(config).to_pylist()
    return ids


@pytest.mark.parametrize(
    ("opted_out_at", "may"), [(NIGHT - HOUR, False), (NIGHT, True), (NIGHT + HOUR, True), (None, True)]
)
def test_an_objection_counts_from_its_instant_on(
    opted_out_at: datetime | None, may: bool, night: Callable[..., Night], config: Config
) -> None:
    """Who objects tomorrow is ranked tonight; who objected an hour ago is not, nor is any of their aliases."""
    found = night(
        events=[event(NIGHT - DAY, person=1), event(NIGHT - DAY, person=101), event(NIGHT - DAY, person=2)],
        identities=[{"id": 1, "other_id": 101, "available_at": NIGHT - DAY}],
        customers=[{"customer_id": 101, "opted_out_at": opted_out_at}],
    )
    assert rankable(found, config) == ([2, 101] if may else [2])


@pytest.mark.parametrize(("unknown", "expected"), [("allow", [1, 101, 103, 104]), ("deny", [1, 101])])
def test_unknown_consent_is_a_setting(
    unknown: str, expected: list[int], tmp_path: Path, night: Callable[..., Night]
) -> None:
    """No is no; a consent left open, and a customer whom no CRM knows, are what the setting says; visitors may."""
    settings = config_in(tmp_path, privacy={"unknown_consent": unknown})
    found = night_of(
        settings,
        events=[
            {**event(NIGHT - DAY, person=person), "customer_id": person if person > 100 else None}
            for person in (1, 101, 102, 103, 104)
        ],
        customers=[
            {"customer_id": customer, "consent_personalization": consent}
            for customer, consent in ((101, True), (102, False), (103, None))
        ],
    )
    assert rankable(found, settings) == expected


def test_visitors_nobody_knows_are_a_setting_too(tmp_path: Path, night: Callable[..., Night]) -> None:
    """Where they may not be ranked, who logged in still may."""
    settings = config_in(tmp_path, privacy={"unknown_visitors": "deny"})
    acts = [event(NIGHT - DAY, person=1), {**event(NIGHT - DAY, person=101), "customer_id": 101}]
    assert rankable(night_of(settings, events=acts), settings) == [101]


def test_a_browsers_objection_counts_for_its_person_until_it_is_taken_back(
    night: Callable[..., Night], config: Config
) -> None:
    """Global Privacy Control of one browser holds for the customer and for their other browser."""
    given = {
        "events": [event(NIGHT - DAY, person=person) for person in (1, 2, 3, 101)],
        "identities": [{"id": browser, "other_id": 101, "available_at": NIGHT - 3 * DAY} for browser in (1, 2)],
    }
    gpc = {"id": 1, "id_type": "visitor", "reason": "gpc", "since": NIGHT - 2 * DAY}
    yes = {"id": 1, "id_type": "visitor", "reason": "consent", "since": NIGHT - DAY, "personalization": True}
    assert rankable(night(**given), config) == [3, 101]
    assert rankable(night(**given, suppressions=[gpc]), config) == [3]
    assert rankable(night(**given, suppressions=[gpc, yes]), config) == [3, 101]
    assert rankable(night(**given, suppressions=[{**gpc, "since": NIGHT}]), config) == [3, 101]


def test_a_crm_that_does_not_repeat_an_objection_takes_it_back(night: Callable[..., Night], config: Config) -> None:
    """The newest snapshot counts, even when nobody objects in it any more."""
    days = [(NIGHT - days * DAY).date() for days in (3, 2)]
    customers = [
        {"customer_id": 101, "consent_personalization": False, "day": days[0]},
        {"customer_id": 102, "consent_personalization": True, "day": days[0]},
    ]
    acts = [event(NIGHT - DAY, person=101)]
    assert rankable(night(events=acts, customers=customers), config) == []
    later = [{**row, "consent_personalization": True, "day": days[1]} for row in customers]
    assert rankable(night(events=acts, customers=[*customers, *later]), config) == [101]


def test_one_no_among_several_crms_is_enough(night: Callable[..., Night], config: Config) -> None:
    """Two systems that disagree: the objection wins."""
    rows = [{"customer_id": 101, "consent_personalization": yes, "source": name} for name, yes in (("a", 0), ("b", 1))]
    rows = [{**row, "consent_personalization": bool(row["consent_personalization"])} for row in rows]
    assert rankable(night(events=[event(NIGHT - DAY, person=101)], customers=rows), config) == []


@pytest.mark.parametrize("back", range(5))
def test_who_may_be_ranked_is_known_without_a_night(back: int, tmp_path: Path) -> None:
    """From a few columns of the events; whoever has nothing but a web purchase, where orders are known, is nobody."""
    config, as_of = config_in(tmp_path), END - back * DAY
    bought = [event(END - 6 * DAY, person=999, event="purchase")]
    lake = written(joined(fortnight(), tables(events=bought)), config)
    night = Archive.load(lake, config, END).night(as_of)
    lean = Archive.load(lake, config, END, columns=WHO)
    expected = night.rankable(config)
    assert 0 < len(expected) < len(night.people)
    assert lean.rankable(as_of).equals(expected)
    assert 999 not in expected.to_pylist()
    assert lean.customers_at(as_of).equals(night.customers)
    assert night.customers.num_rows
