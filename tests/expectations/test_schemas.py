"""The vocabulary: every table can be built from it, says what identifies a row, and keeps native ids in the vault."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expectations import schemas
from expectations.schemas import LAKE, NATIVE, Table

GOALS = ("click", "read")
VAULT = ("native_ids", "identities")


def every_table() -> Iterator[tuple[str, Table]]:
    """Each table of each form, with a name to tell them apart."""
    for form, tables in (("native", NATIVE), ("lake", LAKE), ("published", schemas.published(GOALS))):
        yield from ((f"{form} {name}", table) for name, table in tables.items())


EVERY = dict(every_table())


@pytest.mark.parametrize("name", EVERY)
def test_a_column_is_said_once_and_explained(name: str) -> None:
    """No column twice, each with a meaning, and `column` finds it."""
    table = EVERY[name]
    assert len(set(table.names)) == len(table.names)
    assert all(column.meaning for column in table.columns)
    assert [table.column(column) for column in table.names] == list(table.columns)


@pytest.mark.parametrize("name", EVERY)
def test_what_identifies_a_row_is_always_there(name: str) -> None:
    """Key columns are columns that no row may lack; ids of which one must be there are not required one by one."""
    table = EVERY[name]
    assert [column for column in table.key if not table.column(column).required] == []
    assert [column for column in table.any_of if table.column(column).required] == []


@pytest.mark.parametrize("name", EVERY)
def test_the_arrow_schema_says_the_same(name: str) -> None:
    """Names, types and what may be null are those of the columns, so an empty table can be made of it."""
    table = EVERY[name]
    empty = table.schema.empty_table()
    assert tuple(empty.column_names) == table.names
    assert [field.nullable for field in table.schema] == [not column.required for column in table.columns]


def test_every_instant_is_in_microseconds_utc() -> None:
    """There is one kind of time in the house."""
    times = {c.type for table in EVERY.values() for c in table.columns if pa.types.is_timestamp(c.type)}
    assert times == {pa.timestamp("us", tz="UTC")}


@pytest.mark.parametrize("name", sorted(set(LAKE) - {"native_ids"}))
def test_people_are_numbers_outside_the_vault(name: str) -> None:
    """Ids of people, sessions and orders are int64 pseudonyms in the lake, and an e-mail address is nowhere."""
    found = {c.name: c.type for c in LAKE[name].columns}
    ids = {"person_id", "visitor_id", "customer_id", "session_id", "order_id", "alias_id"} & set(found)
    assert {found[column] for column in ids} <= {pa.int64()}
    assert "email" not in found


def test_every_table_of_the_lake_can_replace_a_day() -> None:
    """A (source, day) is the unit of change, so every table says both."""
    assert [name for name, table in LAKE.items() if not {"source", "day"} <= set(table.names)] == []


def test_quarantine_holds_where_and_why_and_nothing_of_the_row() -> None:
    """A refused row leaves its table, file, number and reason: no column could hold one of its values."""
    assert set(LAKE["quarantine"].names) == {*schemas.REJECTED.names, "source", "day"}
    assert schemas.REJECTED.names == ["table", "source_file", "row_number", "reason"]


def test_native_tables_reach_the_lake_whole() -> None:
    """The lake's table of the same name loses nothing but e-mails, and ids of orders and customers that join people."""
    lost = {name: set(NATIVE[name].names) - set(LAKE[name].names) for name in NATIVE if name in LAKE}
    assert lost == {
        "events": {"order_id"},
        "content": set(),
        "customers": {"email"},
        "transactions": {"email", "customer_id"},
        "popularity": set(),
    }


def test_what_the_lake_has_no_table_for_becomes_identities_and_suppressions() -> None:
    """Ids seen together, and wishes about personalization, are kept as pseudonyms with what they say."""
    assert set(NATIVE) - set(LAKE) == {"links", "signals"}
    assert {"id", "id_type", "other_id", "other_type", "available_at"} <= set(LAKE["identities"].names)
    assert {"id", "id_type", "personalization", "reason", "since"} <= set(LAKE["suppressions"].names)


@given(goals=st.lists(st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True), unique=True, max_size=5).map(tuple))
def test_each_goal_publishes_a_probability(goals: tuple[str, ...]) -> None:
    """`p_<goal>` for each goal, in their order, in every published table; the rest does not depend on the goals."""
    for name, table in schemas.published(goals).items():
        assert tuple(c for c in table.names if c.startswith("p_")) == tuple(f"p_{goal}" for goal in goals)
        assert [c for c in table.columns if not c.name.startswith("p_")] == list(schemas.published(())[name].columns)


def test_tables_cannot_be_added_at_run_time() -> None:
    """The vocabulary is read-only: nobody invents a table while the pipeline runs."""
    with pytest.raises(TypeError):
        LAKE["more"] = LAKE["events"]  # type: ignore[index]
