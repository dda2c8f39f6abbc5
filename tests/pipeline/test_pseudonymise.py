"""Pseudonymisation: no native id, address or order number gets into the lake, and what was seen together is linked."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expectations import schemas
from pipeline.lake import UNDATED
from pipeline.pseudonymise import bounds, lake_rows
from pipeline.pseudonyms import Pseudonyms
from pipeline.sections import Source
from pipeline.sources.export import Parsed, native
from tests.pipeline.lakes import config_in

CONFIG = config_in(Path("/nowhere"))
SOURCE = Source(name="web", format="table", table="events", path="web.csv", delay_minutes=30)
IDS = Pseudonyms(b"a-secret-that-is-long-enough")
DAY = date(2026, 6, 30)
NOON = datetime(2026, 6, 30, 12, tzinfo=UTC)
DELAY = timedelta(minutes=30)

KINDS = ("visitor", "customer", "email", "order")
_REST: dict[str, dict[str, Any]] = {
    "events": {"event_id": "e", "ts": NOON, "content_id": "a", "event": "view"},
    "customers": {},
    "transactions": {"line_no": 1, "ts": NOON, "amount": 1.0},
    "links": {"ts": NOON},
    "signals": {"ts": NOON, "personalization": False, "reason": "gpc"},
}


def rows(name: str, *given: dict[str, Any]) -> pa.Table:
    """Native rows; what is not given and must be there is filled in."""
    full = [{**_REST.get(name, {}), **row} for row in given]
    columns = {column: [row.get(column) for row in full] for column in dict.fromkeys(c for row in full for c in row)}
    types = {column.name: column.type for column in schemas.NATIVE[name].columns}
    table = pa.table({column: pa.array(values, types[column]) for column, values in columns.items()})
    return native(name, table.append_column("row_number", pa.array(range(1, len(full) + 1), pa.int64())))


def made(day: date | None = DAY, **tables: pa.Table) -> dict[str, list[dict[str, Any]]]:
    """What becomes of these native tables."""
    found = lake_rows(Parsed(tables, schemas.REJECTED.empty_table()), SOURCE, day, CONFIG, IDS)
    for name, table in found.items():
        assert table.schema == schemas.LAKE[name].schema
    return {name: table.to_pylist() for name, table in found.items()}


# ---------------------------------------------------------------- canaries

canaries = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).map(lambda text: f"canary-{text}")


@given(st.sampled_from(sorted(_REST)), st.data())
def test_nothing_native_but_in_the_vault(name: str, data: st.DataObject) -> None:
    """Ids of whatever form: those of visitors and customers are in `native_ids`, all others nowhere."""
    columns = [c.name for c in schemas.NATIVE[name].columns if c.name in _SECRET]
    row = {column: data.draw(canaries, column) for column in columns}
    found = made(**{name: rows(name, row)})
    vault = {(one["id_type"], one["native_id"]) for one in found.pop("native_ids")}
    assert vault == {(kind, row[f"{kind}_id"]) for kind in ("visitor", "customer") if f"{kind}_id" in row}
    assert "canary" not in repr(found).lower()


_SECRET = ("visitor_id", "customer_id", "session_id", "email", "order_id")


def test_an_address_is_one_however_it_is_written() -> None:
    """Capitals and space around it are no other person."""
    orders = rows("transactions", {"order_id": "1", "email": "Ann@b.de"}, {"order_id": "2", "email": " ann@B.DE "})
    assert {row["person_id"] for row in made(transactions=orders)["transactions"]} == {IDS.one("ann@b.de", "email")}


# ---------------------------------------------------------------- links


@given(st.sets(st.sampled_from(KINDS), min_size=1))
def test_each_id_is_linked_to_the_rows_best(present: set[str]) -> None:
    """A customer is the best id, then an address, an order, a browser; one id alone is linked to nothing."""
    row = {("email" if kind == "email" else f"{kind}_id"): f"{kind}-7" for kind in present}
    found = made(links=rows("links", row))["identities"]
    best, *others = [kind for kind in ("customer", "email", "order", "visitor") if kind in present]
    assert {(one["id"], one["id_type"], one["other_id"], one["other_type"]) for one in found} == {
        (IDS.one(f"{kind}-7", kind), kind, IDS.one(f"{best}-7", best), best)  # type: ignore[arg-type]
        for kind in others
    }
    assert {one["available_at"] for one in found} <= {NOON + DELAY}


def test_a_link_is_known_since_it_was_first_seen() -> None:
    """Of a browser's many logins the first counts, with the source's delay; links of a table of links are all it is."""
    login = {"visitor_id": "v", "customer_id": "c"}
    found = made(events=rows("events", {**login, "ts": NOON + timedelta(hours=1)}, login, {"visitor_id": "w"}))
    (link,) = found["identities"]
    assert link["available_at"] == NOON + DELAY
    assert {*made(links=rows("links", login))} == {"quarantine", "native_ids", "identities"}


@pytest.mark.parametrize(
    ("day", "known"),
    [(DAY, datetime(2026, 6, 30, 23, 59, 59, 999_999, UTC)), (None, datetime(1970, 1, 1, tzinfo=UTC))],
    ids=["dated", "undated"],
)
def test_a_crm_is_known_when_its_day_is_over(day: date | None, known: datetime) -> None:
    """Whose address is whose, and who objects without saying since when; an undated CRM was always known."""
    contact = {"customer_id": "c", "email": "a@b.de", "consent_personalization": False}
    found = made(day, customers=rows("customers", contact))
    assert [link["available_at"] for link in found["identities"]] == [known]
    assert [wish["since"] for wish in found["suppressions"]] == [known]
    assert {row["day"] for name in ("identities", "suppressions", "native_ids") for row in found[name]} == {
        day or UNDATED
    }


# ---------------------------------------------------------------- rows of people


def test_a_row_is_its_best_ids() -> None:
    """Events are the customer's, else the browser's; orders the customer's, else the address's."""
    events = rows("events", {"visitor_id": "v", "customer_id": "c"}, {"visitor_id": "v"})
    orders = rows(
        "transactions", {"order_id": "1", "customer_id": "c", "email": "a@b.de"}, {"order_id": "2", "email": "a@b.de"}
    )
    customer, visitor, email = IDS.one("c", "customer"), IDS.one("v", "visitor"), IDS.one("a@b.de", "email")
    found = made(events=events, transactions=orders)
    assert [row["person_id"] for row in found["events"]] == [customer, visitor]
    assert [row["person_id"] for row in found["transactions"]] == [customer, email]
    assert [row["visitor_id"] for row in found["events"]] == [visitor, visitor]


def test_a_whole_file_is_of_the_days_it_tells_of() -> None:
    """Without a date in its name a file's rows belong to the day of their own time, in the project's time zone."""
    late = {"visitor_id": "v", "ts": datetime(2026, 6, 30, 23, 30, tzinfo=UTC)}
    berlin = config_in(Path("/nowhere"), project={"timezone": "Europe/Berlin"})
    parsed = Parsed({"events": rows("events", late)}, schemas.REJECTED.empty_table())
    days = {
        config: {row["day"] for name in ("events", "native_ids") for row in found[name].to_pylist()}
        for config, found in (
            (one.project.timezone, lake_rows(parsed, SOURCE, None, one, IDS)) for one in (CONFIG, berlin)
        )
    }
    assert days == {"UTC": {DAY}, "Europe/Berlin": {date(2026, 7, 1)}}


def test_the_export_knows_better_when_it_was_known() -> None:
    """Its own `available_at` counts; without one, when it happened and the source's delay."""
    told = NOON + timedelta(hours=9)
    found = made(events=rows("events", {"visitor_id": "v", "available_at": told}, {"visitor_id": "v"}))
    assert [row["available_at"] for row in found["events"]] == [told, NOON + DELAY]


@pytest.mark.parametrize(
    ("day", "told", "known"),
    [
        (DAY, None, datetime(2026, 6, 30, 23, 59, 59, 999_999, UTC)),
        (DAY, datetime(2026, 7, 2, tzinfo=UTC), datetime(2026, 7, 2, tzinfo=UTC)),
        (None, None, NOON + timedelta(days=1, microseconds=-1)),
    ],
    ids=["with its day", "as told, later", "a day later"],
)
def test_counts_are_known_when_their_day_is_over(day: date | None, told: datetime | None, known: datetime) -> None:
    """Counts that begin at noon go on after noon: known before, they would be of the future."""
    counts = {"content_id": "a", "event": "view", "ts": NOON, "count": 3.0, "available_at": told}
    (row,) = made(day, popularity=rows("popularity", counts))["popularity"]
    assert row["available_at"] == known


# ---------------------------------------------------------------- wishes


def test_a_signal_counts_for_each_of_its_ids() -> None:
    """Said by a browser that was logged in, it is the browser's, the customer's and the address's; and links them."""
    said = {"visitor_id": "v", "customer_id": "c", "email": "a@b.de"}
    found = made(signals=rows("signals", said, {"visitor_id": "w", "personalization": True, "reason": "consent"}))
    wishes = {(row["id"], row["id_type"], row["personalization"], row["reason"]) for row in found["suppressions"]}
    assert wishes == {
        (IDS.one("v", "visitor"), "visitor", False, "gpc"),
        (IDS.one("c", "customer"), "customer", False, "gpc"),
        (IDS.one("a@b.de", "email"), "email", False, "gpc"),
        (IDS.one("w", "visitor"), "visitor", True, "consent"),
    }
    assert {row["since"] for row in found["suppressions"]} == {NOON}
    assert len(found["identities"]) == 2


@given(st.sampled_from([True, False, None]), st.sampled_from([None, NOON]))
def test_who_objects_is_no_customer_but_a_wish(consent: bool | None, opted_out: datetime | None) -> None:
    """A no or an opt-out date, whatever the other says; silence and consent are customers."""
    contact = {"customer_id": "c", "consent_personalization": consent, "opted_out_at": opted_out}
    found = made(customers=rows("customers", contact))
    objects = consent is False or opted_out is not None
    assert (len(found["customers"]), len(found["suppressions"])) == (not objects, objects)
    assert [row["since"] for row in found["suppressions"] if opted_out] == [NOON] * (opted_out is not None)


def test_the_bounds_of_a_day_are_those_of_the_project() -> None:
    """A day in Berlin begins two hours before that of UTC in summer."""
    berlin = config_in(Path("/nowhere"), project={"timezone": "Europe/Berlin"})
    start, end = bounds(DAY, berlin) or (NOON, NOON)
    assert (start.astimezone(UTC).hour, end - start) == (22, timedelta(days=1))
    assert bounds(None, berlin) is None
