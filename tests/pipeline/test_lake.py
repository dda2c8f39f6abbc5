"""The lake: a (source, day) is replaced whole or not at all, and reads give back exactly what is asked for."""

from __future__ import annotations

import resource
import stat
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.transaction import AddAction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from expectations import schemas
from pipeline import lake as lake_module
from pipeline import lake_history
from pipeline.config import parse
from pipeline.day_files import DataFile
from pipeline.errors import ShortlistError
from pipeline.lake import UNDATED, WORD, Lake
from tests.examples import examples
from tests.pipeline.small import in_order

MONDAY = date(2026, 6, 1)
NIGHT = datetime(2026, 6, 2, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """An empty lake."""
    return Lake.of(parse({}, tmp_path / "shortlist.toml"))


def loads(source: str, day: date, *files: str) -> pa.Table:
    """Rows of the smallest table."""
    rows = [{"files": name, "sha256": "0", "rows": 1, "source": source, "day": day} for name in files]
    return pa.Table.from_pylist(rows, schema=schemas.LAKE["loads"].schema)


def ids(source: str, day: date, *people: int) -> pa.Table:
    """Rows of the vault."""
    rows = [{"id": p, "id_type": "visitor", "native_id": str(p), "source": source, "day": day} for p in people]
    return pa.Table.from_pylist(rows, schema=schemas.LAKE["native_ids"].schema)


def put(lake: Lake, source: str, day: date, *files: str) -> None:
    """Replace one day of `loads`."""
    lake.replace_day("loads", loads(source, day, *files), source, day)


def names(table: pa.Table) -> list[str]:
    """The rows of `loads`, by what makes them different here."""
    return sorted(table["files"].to_pylist())


def test_an_absent_table_is_empty(lake: Lake) -> None:
    """Who asks for what was never written gets the table's columns and no rows, and nothing is created."""
    assert lake.read("events").schema == schemas.LAKE["events"].schema
    assert lake.read("events", columns=["ts"]).column_names == ["ts"]
    assert lake.versions() == {}
    assert lake.days("events") == set()
    assert not lake.root.exists()


_DAYS = [MONDAY, MONDAY + DAY]
_CHANGES = st.lists(
    st.tuples(st.sampled_from(["web", "crm"]), st.sampled_from(_DAYS), st.lists(st.sampled_from("abcde"), max_size=3)),
    min_size=1,
    max_size=5,
)


@settings(max_examples=examples(12), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=_CHANGES)
def test_a_day_holds_what_was_put_there_last(
    changes: list[tuple[str, date, list[str]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """After any sequence of replacements each (source, day) holds its last rows, and no other day felt it."""
    lake = Lake.of(parse({}, tmp_path_factory.mktemp("lake") / "shortlist.toml"))
    expected: dict[tuple[str, date], list[str]] = {}
    for source, day, files in changes:
        put(lake, source, day, *files)
        expected[source, day] = sorted(files)
    for source in ("web", "crm"):
        for day in _DAYS:
            assert names(lake.read("loads", source=source, days=[day])) == expected.get((source, day), [])
    assert lake.days("loads") == {unit for unit, files in expected.items() if files}


def test_replacing_is_one_commit(lake: Lake) -> None:
    """Nobody can read a day between its old and its new rows: a replacement is one Delta version."""
    put(lake, "web", MONDAY, "a")
    before = lake.version("loads")
    put(lake, "web", MONDAY, "b", "c")
    assert before is not None
    assert lake.versions() == {"loads": before + 1}
    assert names(DeltaTable(lake.path("loads"), version=before).to_pyarrow_table()) == ["a"]


def test_nothing_for_nothing_is_not_written(lake: Lake) -> None:
    """No rows in place of none make neither a table nor a version."""
    put(lake, "web", MONDAY)
    assert lake.versions() == {}
    put(lake, "web", MONDAY, "a")
    version = lake.version("loads")
    put(lake, "web", MONDAY + DAY)
    assert lake.version("loads") == version


def test_a_whole_file_replaces_all_days_of_its_source_alone(lake: Lake) -> None:
    """What a file without a date no longer holds is gone from every day; other sources keep theirs."""
    for day in _DAYS:
        put(lake, "web", day, f"web {day}")
        put(lake, "crm", day, f"crm {day}")
    lake.replace_source("loads", loads("web", MONDAY, "new"), "web")
    assert names(lake.read("loads", source="web")) == ["new"]
    assert lake.read("loads", source="crm").num_rows == 2


def test_ranges_include_both_ends_and_no_undated_snapshot(lake: Lake) -> None:
    """A range of days means those days; a snapshot without a date belongs to none and must be asked for."""
    for day in (UNDATED, *(MONDAY + i * DAY for i in range(4))):
        put(lake, "web", day, str(day))
    wanted = [str(MONDAY + DAY), str(MONDAY + 2 * DAY)]
    assert names(lake.read("loads", since=MONDAY + DAY, until=MONDAY + 2 * DAY)) == wanted
    assert names(lake.read("loads", until=MONDAY + DAY)) == [str(MONDAY), str(MONDAY + DAY)]
    assert names(lake.read("loads", days=[UNDATED, MONDAY])) == [str(UNDATED), str(MONDAY)]
    assert lake.read("loads", days=()).num_rows == 0


def test_columns_come_in_the_order_asked_for(lake: Lake) -> None:
    """Reading some columns, partition columns among them, gives these in this order with the table's types."""
    put(lake, "web", MONDAY, "a")
    found = lake.read("loads", columns=["day", "files"])
    assert found.to_pylist() == [{"day": MONDAY, "files": "a"}]
    assert found.schema.field("day").type == pa.date32()


def test_text_may_come_as_a_number_a_word(lake: Lake) -> None:
    """It says the same, whether there are rows or none."""
    put(lake, "web", MONDAY, "b", "a", "b")
    put(lake, "web", MONDAY + DAY, "c")
    for days in ([MONDAY, MONDAY + DAY], [MONDAY + 2 * DAY]):
        plain, found = lake.read("loads", days=days), lake.read("loads", days=days, words=["files"])
        assert found.schema.field("files").type == WORD
        assert in_order(found.cast(plain.schema)) == in_order(plain)


def test_the_files_of_a_day_are_sorted_and_the_same_whatever_came_first(tmp_path: Path) -> None:
    """The same rows in another order give the same Parquet rows, sorted so that a reader prunes."""
    written = []
    for number, people in enumerate(([3, 1, 2], [2, 3, 1])):
        lake = Lake.of(parse({}, tmp_path / str(number) / "shortlist.toml"))
        lake.replace_day("native_ids", ids("web", MONDAY, *people), "web", MONDAY)
        (file,) = DeltaTable(lake.path("native_ids")).file_uris()
        written.append(pq.ParquetFile(file).read()["id"].to_pylist())
    assert written == [[1, 2, 3], [1, 2, 3]]


def test_the_vault_is_for_its_owner_alone(lake: Lake) -> None:
    """Native ids lie where group and others can neither read, enter nor list; pseudonymous tables lie outside."""
    lake.replace_day("native_ids", ids("web", MONDAY, 1), "web", MONDAY)
    put(lake, "web", MONDAY, "a")
    assert stat.S_IMODE(lake.vault.stat().st_mode) == 0o700
    assert lake.path("native_ids").parent == lake.path("identities").parent == lake.vault
    assert lake.path("events").parent == lake.root


@pytest.mark.parametrize("table", ["loads", "native_ids"])
def test_what_cannot_be_written_is_named(lake: Lake, table: str) -> None:
    """A file where the table's folder should be: the message has the table, the place, and what to do."""
    lake.path(table).parent.mkdir(parents=True)
    lake.path(table).touch()
    rows = loads("web", MONDAY, "a") if table == "loads" else ids("web", MONDAY, 1)
    with pytest.raises(ShortlistError, match=rf"lake: cannot write table '{table}' at {lake.path(table)}.*permission"):
        lake.replace_day(table, rows, "web", MONDAY)


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes: the next best thing to a full disk, which is the same to who writes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_up_changes_nothing(lake: Lake) -> None:
    """A write that breaks off in the middle leaves the version and the rows of before, and says what to do."""
    lake.replace_day("native_ids", ids("web", MONDAY, 1), "web", MONDAY)
    many = ids("web", MONDAY, *range(1, 1 << 40, 1 << 24))
    with (
        room_for(10_000),
        pytest.raises(ShortlistError, match=r"cannot write table 'native_ids'.*\(or free disk space\)"),
    ):
        lake.replace_day("native_ids", many, "web", MONDAY)
    assert lake.version("native_ids") == 1
    assert lake.read("native_ids")["id"].to_pylist() == [1]
    lake.replace_day("native_ids", many, "web", MONDAY)
    assert lake.read("native_ids").num_rows == many.num_rows


def night(*people: int, **more: Iterable[float]) -> pa.Table:
    """Features of a night."""
    return pa.table({"person_id": list(people), **{name: list(values) for name, values in more.items()}})


def test_a_night_is_replaced_alone_and_may_bring_new_columns(lake: Lake) -> None:
    """Building a night's features again changes that night; a column of tomorrow is null in what was built before."""
    lake.replace_night("person_features", night(1, 2), NIGHT)
    lake.replace_night("person_features", night(3, events=[1.0]), NIGHT + DAY)
    lake.replace_night("person_features", night(4), NIGHT)
    found = DeltaTable(lake.path("person_features")).to_pyarrow_table()
    assert in_order(found.select(["person_id", "night", "events"])) == [
        {"person_id": 3, "night": "2026-06-03T000000Z", "events": 1.0},
        {"person_id": 4, "night": "2026-06-02T000000Z", "events": None},
    ]


def test_a_night_that_comes_in_parts_is_there_whole_or_not_at_all(lake: Lake) -> None:
    """Parts are written as they come; where one fails to come, the night is as it was, and can be written again."""

    def parts(failing: bool) -> Iterator[pa.Table]:
        yield night(1, 2)
        if failing:
            raise ZeroDivisionError
        yield night(3)

    lake.replace_night("person_features", night(7), NIGHT)
    with pytest.raises(Exception, match="ZeroDivisionError"):
        lake.replace_night("person_features", parts(failing=True), NIGHT)
    assert lake.read_night("person_features", NIGHT)["person_id"].to_pylist() == [7]
    lake.replace_night("person_features", parts(failing=False), NIGHT)
    assert sorted(lake.read_night("person_features", NIGHT)["person_id"].to_pylist()) == [1, 2, 3]


def test_graded_nights_are_instants(lake: Lake) -> None:
    """What was graded is known by its night, in UTC; before the first grade there is none."""
    assert lake.nights("grades") == []
    lake.replace_night("grades", pa.table({"metric": ["ndcg_10"], "value": [0.5]}), NIGHT)
    assert lake.nights("grades") == [NIGHT]


def test_vacuum_removes_what_no_kept_version_needs(lake: Lake) -> None:
    """Replaced files go once their time is over, and not before; what is read now stays."""
    put(lake, "web", MONDAY, "a")
    put(lake, "web", MONDAY, "b")
    assert lake_history.vacuum(lake, timedelta(days=7)) == {"loads": 0}
    assert lake_history.vacuum(lake, timedelta(0)) == {"loads": 1}
    assert names(lake.read("loads")) == ["b"]


def test_history_is_not_erased_under_an_adoption(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that lies in the table and that no version names yet is the next version's, and no leftover."""
    put(lake, "web", MONDAY, "old")
    real = lake_module._placed

    def placed(table: Path, file: DataFile) -> AddAction:
        action = real(table, file)
        erasures.append(pool.submit(lake_history.erase, lake))
        with suppress(TimeoutError):  # without a lock it would be over now
            erasures[0].result(timeout=1)
        return action

    erasures: list[Future[dict[str, int]]] = []
    monkeypatch.setattr(lake_module, "_placed", placed)
    with ThreadPoolExecutor(1) as pool:
        put(lake, "web", MONDAY, "new")
        assert erasures[0].result() == {"loads": 1}
    assert names(lake.read("loads")) == ["new"]
    assert (lake.path("loads") / ".lock").exists()


def test_a_table_from_before_a_column_takes_it_with_the_next_load(lake: Lake) -> None:
    """A lake is not loaded again because our vocabulary has grown: until then, it is missing."""
    schema = schemas.LAKE["content"].schema
    older = pa.schema([field for field in schema if field.name != "format"])
    old = {"content_id": "old", "status": "published", "source": "cms", "day": date(2026, 6, 29)}
    write_deltalake(
        str(lake.path("content")), pa.Table.from_pylist([old], schema=older), partition_by=["source", "day"]
    )
    assert lake.read("content").to_pylist() == [dict.fromkeys(schema.names) | old]
    assert lake.read("content", words=["format"])["format"].type == WORD
    new = old | {"content_id": "new", "format": "video", "day": date(2026, 6, 30)}
    lake.replace_day("content", pa.Table.from_pylist([new], schema=schema), "cms", date(2026, 6, 30))
    found = {row["content_id"]: row["format"] for row in lake.read("content").to_pylist()}
    assert found == {"old": None, "new": "video"}
