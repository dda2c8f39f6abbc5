"""Erasure: the rows of these people leave, everybody else's stay as they are, and doing it twice is doing it once."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import erasure
from pipeline.config import Config
from pipeline.day_files import ORDER
from pipeline.lake import PURGED, UNDATED, Lake
from tests.examples import examples
from tests.pipeline import lakes
from tests.pipeline.lakes import CUSTOMERS, END, VISITORS, config_in, table
from tests.pipeline.small import in_order

FOUND = lakes.fortnight(3)
NAMES = ("events", "transactions", "customers")
NOON = datetime(2026, 3, 5, 12, tzinfo=UTC)


@pytest.fixture(name="config")
def _config(tmp_path: Path) -> Config:
    return config_in(tmp_path)


def about(name: str, row: dict[str, Any], people: set[int]) -> bool:
    """Whether a row has one of these ids."""
    return bool(people & {row[column] for column in erasure.PERSONAL[name]})


@settings(max_examples=examples(4))
@given(st.sets(st.sampled_from([*VISITORS, *CUSTOMERS]), min_size=1, max_size=6))
def test_just_their_rows_leave(tmp_path_factory: pytest.TempPathFactory, people: set[int]) -> None:
    """Whoever they are: every row with one of their ids, in whichever column, and no other; links stay."""
    lake = lakes.written(FOUND, config_in(tmp_path_factory.mktemp("erasure")))
    counted = erasure.delete_people(lake, pa.array(sorted(people), pa.int64()))
    for name, rows in FOUND.items():
        before = in_order(rows)
        kept = [row for row in before if name not in NAMES or not about(name, row, people)]
        assert in_order(lake.read(name)) == kept, name
        assert counted.get(name, 0) == len(before) - len(kept)


def test_days_without_them_are_not_touched(config: Config) -> None:
    """A (source, day) that holds none of theirs keeps its very file; one that does is written in the table's order."""
    lake = lakes.written(FOUND, config)
    rare = next(iter(CUSTOMERS))
    days = {row["day"] for row in FOUND["transactions"].to_pylist() if row["person_id"] == rare}
    before = {*lake.files("transactions")}
    erasure.delete_people(lake, pa.array([rare], pa.int64()))
    after = {*lake.files("transactions")}
    assert {_day(file) for file in before - after} == days
    assert before & after
    for file in after - before:
        keys = [tuple(row.values()) for row in pq.ParquetFile(file).read(ORDER["transactions"]).to_pylist()]
        assert keys == sorted(keys)


def _day(file: str) -> date:
    return date.fromisoformat(Path(file).parent.name.removeprefix("day="))


def test_a_load_of_the_same_moment_is_not_undone(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """The day is loaded anew between erasure's look and its commit: the new rows are those that stay."""
    lake = lakes.written({"events": visits(1, 2)}, config)
    real = erasure._without

    def without(*given: Any) -> Any:
        found = real(*given)
        loads.append(pool.submit(lake.replace_day, "events", visits(2, 3, 4), "web", NOON.date()))
        with suppress(TimeoutError):  # without a lock it lands now, and what was read before would be put in its place
            loads[0].result(timeout=1)
        return found

    loads: list[Future[None]] = []
    monkeypatch.setattr(erasure, "_without", without)
    with ThreadPoolExecutor(1) as pool:
        assert erasure.delete_people(lake, pa.array([1], pa.int64())) == {"events": 1}
        loads[0].result()
    assert people_of(lake) == [2, 3, 4]


def test_features_of_a_night_are_theirs_too(config: Config) -> None:
    """What past nights computed of them leaves; the other nights are not written again."""
    lake = Lake.of(config)
    for night, people in ((NOON, [1, 2]), (NOON + timedelta(days=1), [2, 3])):
        lake.replace_night("person_features", pa.table({"person_id": people}), night)
    version = erasure_version(lake)
    assert erasure.delete_people(lake, pa.array([1], pa.int64())) == {"person_features": 1}
    assert erasure_version(lake) == version + 1
    assert lake.read_night("person_features", NOON)["person_id"].to_pylist() == [2]


def erasure_version(lake: Lake) -> int:
    """The version of the table of nights."""
    version = lake.version("person_features")
    assert version is not None
    return version


# ---------------------------------------------------------------- purge


def visits(*people: int) -> pa.Table:
    """An event of each of these visitors."""
    return table("events", [{"event_id": f"e{one}", "person": one, "ts": NOON, "content_id": "a"} for one in people])


def wishes(**said: tuple[int, bool]) -> pa.Table:
    """Who said what by which signal."""
    rows = [
        {"id": one, "id_type": "visitor", "personalization": yes, "reason": reason, "since": NOON, "source": "wishes"}
        for reason, (one, yes) in said.items()
    ]
    return table("suppressions", rows)


def people_of(lake: Lake) -> list[int]:
    """Everybody with an event."""
    return sorted(lake.read("events")["person_id"].to_pylist())


def test_a_purge_happens_once(config: Config) -> None:
    """Rows of who objects leave and are counted; the second time no table gets another version."""
    lake = lakes.written({"events": visits(1, 2), "suppressions": wishes(gpc=(1, False))}, config)
    assert erasure.purge(lake, END, config) == {"events": 1}
    versions = lake.versions()
    assert erasure.purge(lake, END, config) == {}
    assert (people_of(lake), lake.versions()) == ([2], versions)


def test_nobody_objects(config: Config) -> None:
    """A purge of nobody writes nothing at all."""
    lake = lakes.written({"events": visits(1, 2)}, config)
    versions = lake.versions()
    assert erasure.purge(lake, END, config) == {}
    assert lake.versions() == versions


@pytest.mark.parametrize("others", [{}, {"objection": (9, False)}], ids=["alone", "others still object"])
def test_a_wish_that_comes_and_goes_and_comes_counts_each_time(
    others: dict[str, tuple[int, bool]], config: Config
) -> None:
    """What was loaded while somebody agreed leaves when they object again, though they were purged before."""
    first = {"gpc": (1, False), **others}
    lake = lakes.written({"events": visits(1, 2), "suppressions": wishes(**first)}, config)
    erasure.purge(lake, END, config)
    lake.replace_source("suppressions", wishes(**{**first, "gpc": (1, True)}), "wishes")
    lake.replace_source("events", visits(1, 2), "web")  # and the load is the last of its night: no purge follows
    lake.replace_source("suppressions", wishes(**first), "wishes")
    assert erasure.purge(lake, END, config) == {"events": 1}
    assert people_of(lake) == [2]


def test_what_was_not_said_yet_counts_later(config: Config) -> None:
    """A wish counts from the night after it was made; the rows stay until then."""
    lake = lakes.written({"events": visits(1), "suppressions": wishes(gpc=(1, False))}, config)
    assert erasure.purge(lake, NOON, config) == {}
    assert erasure.purge(lake, NOON + timedelta(days=1), config) == {"events": 1}


def test_an_order_known_by_its_number_leaves(config: Config) -> None:
    """Who is known by a browser only and was seen to order: the order's lines are theirs."""
    order = {"order_id": 500, "person": 77, "ts": NOON, "amount": 5.0, "content_id": "a"}
    link = {"id": 500, "id_type": "order", "other_id": 77, "other_type": "email", "available_at": NOON}
    seen = {"id": 1, "id_type": "visitor", "other_id": 500, "other_type": "order", "available_at": NOON}
    found = {
        "transactions": table("transactions", [order]),
        "identities": table("identities", [link, seen]),
        "suppressions": wishes(gpc=(1, False)),
    }
    lake = lakes.written(found, config)
    assert erasure.purge(lake, END, config) == {"transactions": 1}
    assert lake.read("identities").num_rows == 2


def test_the_proof_names_nobody(config: Config) -> None:
    """What says that a purge was done is a hash, and no load of any source."""
    lake = lakes.written({"events": visits(1, 2), "suppressions": wishes(gpc=(1, False))}, config)
    erasure.purge(lake, END, config)
    (row,) = lake.read("loads").filter(pc.equal(lake.read("loads")["source"], PURGED)).to_pylist()
    assert (row["day"], row["rows"], len(row["sha256"])) == (UNDATED, 0, 64)
