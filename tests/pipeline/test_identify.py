"""Which aliases belong to which customer, and since when."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expectations import schemas
from pipeline.errors import ShortlistError
from pipeline.identify import customer_by_alias, links_of_customers, links_of_events, native_ids, resolve
from pipeline.lake import UNDATED, Lake
from tests.pipeline.lakes import NIGHT, config_in, table

HOUR = timedelta(hours=1)


def links(*rows: tuple[int, int, int]) -> pa.Table:
    """Links of (alias, customer, hours after the night)."""
    return table(
        "identities",
        [
            {"alias_id": alias, "customer_id": customer, "available_at": NIGHT + hours * HOUR}
            for alias, customer, hours in rows
        ],
    )


def known(found: pa.Table) -> dict[int, int]:
    """Customers by alias at the night; an alias that is there twice would not survive this."""
    rows = customer_by_alias(found, NIGHT).to_pylist()
    assert len({row["alias_id"] for row in rows}) == len(rows)
    return {row["alias_id"]: row["customer_id"] for row in rows}


def by_hand(rows: list[tuple[int, int, int]]) -> dict[int, int]:
    """The customer that each alias was last seen with before the night."""
    last: dict[int, tuple[int, int]] = {}
    for alias, customer, hours in rows:
        if hours < 0:
            found = -hours, customer
            last[alias] = min(last.get(alias, found), found)
    return {alias: customer for alias, (_, customer) in last.items()}


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(101, 104), st.integers(-3, 2)), max_size=20))
def test_an_alias_belongs_to_whom_it_was_seen_with_last(rows: list[tuple[int, int, int]]) -> None:
    """Of a shared device the last owner before the night; of two at one instant the smaller; in any order of rows."""
    assert known(links(*rows)) == by_hand(rows)
    assert known(links(*rows[::-1])) == by_hand(rows)


def test_a_link_of_the_nights_own_instant_is_not_known() -> None:
    """Strictly before."""
    assert known(links((1, 101, 0), (2, 102, -1))) == {2: 102}


def test_events_that_carry_both_ids_make_links_from_the_first_one_on() -> None:
    """One link a pair, known since the earliest event that could be known; a visitor or a customer alone makes none."""
    rows = [
        {"ts": NIGHT + at * HOUR, "person": 101, "content_id": "c", "visitor_id": visitor, "customer_id": customer}
        for at, visitor, customer in ((2, 1, 101), (1, 1, 101), (3, 1, 102), (4, 2, None), (5, None, 103))
    ]
    rows[0]["available_at"] = NIGHT
    found = links_of_events(table("events", rows)).sort_by("customer_id").to_pylist()
    assert found == [
        {"alias_id": 1, "alias_type": "visitor", "customer_id": 101, "available_at": NIGHT},
        {"alias_id": 1, "alias_type": "visitor", "customer_id": 102, "available_at": NIGHT + 3 * HOUR},
    ]


def test_contacts_with_an_email_make_links_from_the_snapshot_on() -> None:
    """A contact without an e-mail address makes none."""
    found = links_of_customers(pa.array([101, 102]), pa.array([7, None]), NIGHT)
    assert found.to_pylist() == [{"alias_id": 7, "alias_type": "email", "customer_id": 101, "available_at": NIGHT}]


def test_ids_are_resolved_in_place() -> None:
    """Aliases become customers row by row, everybody else stays who they are, and nobody is resolved twice."""
    aliases = pa.table({"alias_id": [1, 101], "customer_id": [101, 999]})
    assert resolve(pa.array([1, 5, 1, 101]), aliases).to_pylist() == [101, 5, 101, 999]
    assert resolve(pa.array([], pa.int64()), aliases).to_pylist() == []


def test_nobody_is_an_alias_where_no_links_are_known() -> None:
    """An empty vault resolves everybody to themselves."""
    assert resolve(pa.array([3, 4]), customer_by_alias(links(), NIGHT)).to_pylist() == [3, 4]


@pytest.fixture
def vault(tmp_path: Path) -> Lake:
    """A lake whose vault knows a customer (twice, from two sources) and two visitors."""
    lake = Lake.of(config_in(tmp_path))
    rows = [(1, "customer", "anna"), (2, "visitor", "cookie"), (3, "visitor", "other")]
    for source in ("web", "crm"):
        mine = rows if source == "web" else rows[:1]
        columns = {"id": [r[0] for r in mine], "id_type": [r[1] for r in mine], "native_id": [r[2] for r in mine]}
        books = {"source": [source] * len(mine), "day": [UNDATED] * len(mine)}
        lake.replace_source("native_ids", pa.table({**columns, **books}, schema=_VAULT), source)
    return lake


_VAULT = schemas.LAKE["native_ids"].schema


def test_native_ids_come_back_in_the_order_of_the_people(vault: Lake) -> None:
    """Each of them once, and only of those who were asked for; who is known by e-mail alone has none."""
    found = native_ids(vault, pa.array([3, 77, 1])).to_pylist()
    assert [(row["id"], row["id_type"], row["native_id"]) for row in found] == [
        (3, "visitor", "other"),
        (1, "customer", "anna"),
    ]


def test_nobody_asked_is_nobody_found(vault: Lake) -> None:
    """No people to rank is not the vault's fault."""
    assert native_ids(vault, pa.array([], pa.int64())).num_rows == 0


def test_a_vault_that_knows_nobody_is_an_error(vault: Lake) -> None:
    """Another key, or a vault that was removed: say so instead of publishing nothing."""
    with pytest.raises(ShortlistError, match="knows none of 2 people"):
        native_ids(vault, pa.array([88, 99]))
