"""The CRM's contacts as HubSpot's CSV export writes them: labels as headers, a full snapshot every day."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

from pipeline.simulation.population import COUNTRIES, Population
from pipeline.simulation.world import World

HEADER = (
    "Record ID",
    "First Name",
    "Last Name",
    "Email",
    "Phone Number",
    "Country/Region",
    "Lifecycle Stage",
    "Lead Status",
    "Create Date",
    "Unsubscribed from all email",
    "Consent: personalization",
    "Personalization opt-out date",
)
_FIRST_NAMES = (
    "Alex",
    "Bea",
    "Chris",
    "Dana",
    "Eli",
    "Fatima",
    "Gil",
    "Hana",
    "Ivo",
    "Jude",
    "Kim",
    "Lena",
    "Max",
    "Noor",
)
_LAST_NAMES = ("Adams", "Böhm", "Costa", "Dubois", "Ek", "Farah", "Green", "Huber", "Iqbal", "Jansen", "Kaya", "O'Neil")
_STAGES = ("Subscriber", "Lead", "Marketing Qualified Lead", "Opportunity", "Customer")
_STATUSES = ("New", "Open", "In Progress", "")


class Contacts:
    """The CRM's contacts, with the cells that never change made once."""

    def __init__(self, world: World) -> None:
        """Lay out everybody who is a contact by the end of the period."""
        self._world = world
        self._fixed = [(p, _fixed_cells(world.people, p)) for p in world.people.contacts.tolist()]

    def export(self, day: int) -> bytes:
        """Contacts created by the end of `day`, by Record ID; UTF-8.

        From the day of an opt-out on, `Consent: personalization` is No and the opt-out date is that day; before, it is
        Yes for nine in ten contacts and blank for the others. `Unsubscribed from all email` is another matter.
        """
        people, text = self._world.people, io.StringIO()
        listed = (people.contact_from <= day).tolist()
        writer = csv.writer(text, lineterminator="\r\n")
        writer.writerow(HEADER)
        writer.writerows((*cells, *_changing_cells(self._world, p, day)) for p, cells in self._fixed if listed[p])
        return text.getvalue().encode()


def email(people: Population, person: int) -> str:
    """A contact's address; the domain is reserved for examples (RFC 2606)."""
    return f"{_name(int(people.record_id[person]))[0].lower()}.{person + 1}@example.com"


def _fixed_cells(people: Population, person: int) -> tuple[str, ...]:
    record = int(people.record_id[person])
    return (
        str(record),
        *_name(record),
        email(people, person),
        f"+1 555 01{record % 100:02d}" if record % 3 else "",
        COUNTRIES[people.country[person]].name,
        _STAGES[record % len(_STAGES)],
        _STATUSES[record % len(_STATUSES)],
        f"{_moment(int(people.created_us[person])):%Y-%m-%d %H:%M}",
    )


def _changing_cells(world: World, person: int, day: int) -> tuple[str, str, str]:
    """Unsubscribed from e-mail, consent to personalization, and the date of its withdrawal."""
    people = world.people
    unsubscribed = "Yes" if day >= people.unsubscribed_from[person] else "No"
    opted_out = int(people.opted_out_from[person])
    if day >= opted_out:
        return unsubscribed, "No", f"{_moment(world.midnight(opted_out)):%Y-%m-%d}"
    return unsubscribed, "" if people.record_id[person] % 10 == 0 else "Yes", ""


def _name(record: int) -> tuple[str, str]:
    return _FIRST_NAMES[record % len(_FIRST_NAMES)], _LAST_NAMES[record // 3 % len(_LAST_NAMES)]


def _moment(at_us: int) -> datetime:
    return datetime.fromtimestamp(at_us // 1_000_000, tz=UTC)
