"""Wishes, end to end: an objection reaches every id of the person, at the door, in the lake, and among the ranked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline import erasure, ingest
from pipeline.config import Config
from pipeline.ingest import IngestReport
from pipeline.night import Archive
from pipeline.pseudonyms import Pseudonyms
from tests.pipeline.small import House

NIGHT = datetime(2026, 7, 1, tzinfo=UTC)
DAY, BEFORE = date(2026, 6, 30), date(2026, 6, 29)
SOURCES: Mapping[str, str] = {
    "web": 'format = "table"\ntable = "events"\npath = "exports/web_{date:%Y%m%d}.csv"',
    "crm": 'format = "table"\ntable = "customers"\npath = "exports/crm_{date:%Y%m%d}.csv"',
    "hubspot": 'format = "hubspot"\npath = "exports/hubspot_{date:%Y%m%d}.csv"',
    "wishes": 'format = "table"\ntable = "signals"\npath = "exports/wishes.csv"',
}


class Company(House):
    """A house with web analytics, and with whatever else it is configured for."""

    def sources(self, *names: str, more: str = "") -> Config:
        """The configuration of these sources; a day without an export is none to speak of."""
        return self.configure(
            "\n".join(
                f'[[sources]]\nname = "{name}"\nrequired = false\nlate_days = 3\n{SOURCES[name]}' for name in names
            )
            + f"\n{more}"
        )

    def visits(self, day: date, **customers: str) -> None:
        """An event of each of these browsers, and who was logged in there."""
        rows = [
            {
                "event_id": f"{day}-{visitor}",
                "ts": f"{day}T10:00:00Z",
                "visitor_id": visitor,
                "customer_id": customer,
                "content_id": "/a",
                "event": "view",
            }
            for visitor, customer in customers.items()
        ]
        self.write_csv(f"exports/web_{day:%Y%m%d}.csv", rows)

    def contacts(self, day: date, **consents: str) -> None:
        """What the CRM's snapshot of a day says of each customer."""
        rows = [
            {"customer_id": customer, "email": f"{customer}@example.com", "consent_personalization": consent}
            for customer, consent in consents.items()
        ]
        self.write_csv(f"exports/crm_{day:%Y%m%d}.csv", rows)

    def says(self, *wishes: tuple[str, str, str]) -> None:
        """Signals in their order: the kind of id, the id, and yes or no."""
        blank = dict.fromkeys(("visitor_id", "customer_id", "email"), "")
        rows = [
            {"ts": f"{DAY}T1{hour}:00:00Z", **blank, kind: native, "personalization": said, "reason": "gpc"}
            for hour, (kind, native, said) in enumerate(wishes)
        ]
        self.write_csv("exports/wishes.csv", rows)

    def seen(self) -> set[str]:
        """The browsers of which the lake has events, by the names that the company has for them."""
        ids = Pseudonyms(b"shortlist-development-key-not-for-production")
        names = {ids.one(visitor, "visitor"): visitor for visitor in ("laptop", "phone", "tablet", "kiosk")}
        return {names[row["visitor_id"]] for row in self.rows().get("events", [])}


@pytest.fixture(name="company")
def _company(tmp_path: Path) -> Company:
    return Company(tmp_path)


def suppressed(report: IngestReport) -> dict[str, int]:
    """Rows left out at the door, by table."""
    return {day.table: day.suppressed for day in report.days if day.suppressed}


# ---------------------------------------------------------------- objections


def test_an_opt_out_in_the_crm_reaches_every_browser(company: Company) -> None:
    """Everything of the person leaves when the ingest is finished, whichever of their browsers it came from."""
    company.visits(DAY, laptop="ann", phone="ann", tablet="bob", kiosk="")
    company.contacts(DAY, ann="no", bob="yes")
    config = company.sources("web", "crm")
    report = ingest.run(NIGHT, config)
    assert report.purged == {"events": 2, "native_ids": 4}
    assert company.seen() == {"tablet", "kiosk"}
    versions = company.lake.versions()
    assert erasure.purge(company.lake, NIGHT, config) == {}
    assert company.lake.versions() == versions


@pytest.mark.parametrize(
    "wish", [("visitor_id", "phone", "no"), ("customer_id", "ann", "no"), ("email", "Ann@example.com ", "no")]
)
def test_a_signal_of_any_id_is_the_persons(wish: tuple[str, str, str], company: Company) -> None:
    """A browser's Global Privacy Control, or a wish under an e-mail address, counts for all that is theirs."""
    company.visits(DAY, laptop="ann", phone="ann", tablet="bob")
    company.contacts(DAY, ann="yes", bob="yes")
    company.says(wish)
    ingest.run(NIGHT, company.sources("web", "crm", "wishes"))
    ann, bob = (Pseudonyms.of(company.sources("web")).one(one, "customer") for one in ("ann", "bob"))
    assert company.seen() == {"tablet"}
    assert [row["customer_id"] for row in company.rows()["customers"]] == [bob]
    assert ann not in {row["id"] for row in company.rows()["native_ids"]}


def test_rows_of_who_objects_are_left_out_at_the_door(company: Company) -> None:
    """What is known when a load begins is not let in, and is counted by table."""
    company.contacts(BEFORE, ann="no", bob="yes")
    config = company.sources("web", "crm")
    ingest.run(NIGHT, config)
    company.visits(DAY, laptop="", tablet="bob")
    ingest.run(NIGHT, config)
    company.visits(DAY, laptop="ann", tablet="bob")
    report = ingest.run(NIGHT, config)
    (day,) = report.days
    assert (day.read, day.kept, day.suppressed) == (2, 1, 1)
    assert company.seen() == {"tablet"}


def test_who_opts_back_in_comes_with_the_next_export(company: Company) -> None:
    """Old rows stay gone; from the next export on they are loaded as anybody's."""
    company.visits(BEFORE, laptop="ann")
    company.contacts(BEFORE, ann="no")
    config = company.sources("web", "crm")
    assert ingest.run(NIGHT, config).purged["events"] == 1
    company.contacts(DAY, ann="yes")
    company.visits(DAY, phone="ann")
    assert ingest.run(NIGHT, config).changed
    assert ingest.run(NIGHT, config).changed is False
    company.visits(DAY, phone="ann", tablet="ann")
    ingest.run(NIGHT, config)
    assert company.seen() == {"phone", "tablet"}


def test_a_signal_is_taken_back_by_a_later_one(company: Company) -> None:
    """Of the wishes of one browser the last counts."""
    company.says(("visitor_id", "laptop", "no"), ("visitor_id", "laptop", "yes"), ("visitor_id", "phone", "yes"))
    config = company.sources("wishes", "web")
    company.visits(DAY, laptop="", phone="")
    ingest.run(NIGHT, config)
    assert company.seen() == {"laptop", "phone"}
    company.says(("visitor_id", "laptop", "yes"), ("visitor_id", "laptop", "no"))
    ingest.run(NIGHT, config)
    assert company.seen() == {"phone"}


def test_unsubscribing_from_email_is_no_objection(company: Company) -> None:
    """HubSpot's e-mail opt-out takes nobody's list away; its personalization consent does."""
    company.visits(DAY, laptop="1", tablet="2")
    rows = [
        {"Record ID": number, "Unsubscribed from all email": "true", "Consent: personalization": consent}
        for number, consent in (("1", "Yes"), ("2", "No"))
    ]
    company.write_csv(f"exports/hubspot_{DAY:%Y%m%d}.csv", rows)
    config = company.sources("web", "hubspot")
    ingest.run(NIGHT, config)
    assert company.seen() == {"laptop"}
    (said,) = company.rows()["suppressions"]
    assert (said["id"], said["reason"]) == (Pseudonyms.of(config).one("2", "customer"), "crm")


# ---------------------------------------------------------------- consent


@pytest.mark.parametrize(
    ("privacy", "expected"),
    [
        ("", {"ann", "kiosk"}),
        ('[privacy]\nunknown_consent = "allow"\n', {"ann", "bob", "eve", "kiosk"}),
        ('[privacy]\nunknown_visitors = "deny"\n', {"ann"}),
        ('[privacy]\nunknown_consent = "allow"\nunknown_visitors = "deny"\n', {"ann", "bob", "eve"}),
    ],
    ids=["default", "silence is consent", "only known people", "all known people"],
)
def test_who_may_be_ranked(privacy: str, expected: set[str], company: Company) -> None:
    """Ann agrees, Bob is silent, the CRM does not know Eve, Don objects, and nobody ever logged in on the kiosk."""
    company.visits(DAY, laptop="ann", phone="bob", tablet="eve", desktop="don", kiosk="")
    company.contacts(DAY, ann="yes", bob="", don="no")
    config = company.sources("crm", "web", more=privacy)
    ingest.run(NIGHT, config)
    assert rankable(company, config) == expected


def rankable(company: Company, config: Config) -> set[str]:
    """Who may be ranked tonight, by the names that the company has for them."""
    ids = Pseudonyms.of(config)
    names: dict[int, str] = {ids.one(one, "customer"): one for one in ("ann", "bob", "eve", "don")}
    names[ids.one("kiosk", "visitor")] = "kiosk"
    night = Archive.load(company.lake, config, NIGHT).night(NIGHT)
    return {names[person] for person in night.rankable(config).to_pylist()}


def test_without_a_crm_everybody_may_be_ranked(company: Company) -> None:
    """Where there is nobody to ask, silence is all there is."""
    company.visits(DAY, laptop="ann", kiosk="")
    config = company.sources("web")
    ingest.run(NIGHT, config)
    assert rankable(company, config) == {"ann", "kiosk"}


def silent(report: IngestReport) -> list[Any]:
    """The warnings about contacts of whom no consent is known."""
    return [warning for warning in report.warnings if "known to consent" in warning]


def test_a_crm_that_knows_of_no_consent_is_told(company: Company) -> None:
    """Nobody would get a list of their own, which is hardly meant; one who agrees, or the setting, and it is silent."""
    company.contacts(DAY, ann="", bob="")
    (warning,) = silent(ingest.run(NIGHT, company.sources("crm")))
    assert warning.startswith("none of 2 contacts is known to consent to personalization")
    assert silent(ingest.run(NIGHT, company.sources("crm", more='[privacy]\nunknown_consent = "allow"\n'))) == []
    company.contacts(DAY, ann="yes", bob="")
    assert silent(ingest.run(NIGHT, company.sources("crm"))) == []


def test_yesterdays_contacts_do_not_speak_for_today(company: Company) -> None:
    """The newest snapshot is what counts: a column that was lost overnight is told."""
    company.contacts(BEFORE, ann="yes")
    company.contacts(DAY, ann="")
    assert len(silent(ingest.run(NIGHT, company.sources("crm")))) == 1
    assert silent(ingest.run(NIGHT - timedelta(days=1), company.sources("crm"))) == []
