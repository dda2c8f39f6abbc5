"""A new key: every pseudonym changes at one moment, nobody is lost, and a killed rotation is simply run again."""

from __future__ import annotations

import shutil
import stat
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expectations import schemas
from pipeline import disk, ingest, rotate_key, staging, swap
from pipeline.day_files import ORDER
from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.lake import Lake
from pipeline.pseudonyms import KEY_CHECK, Pseudonyms, rotate
from pipeline.shards import shard_of
from pipeline.suppress import FORGOTTEN
from tests.pipeline.faults import Crash, calls
from tests.pipeline.rotation import (
    DAYS,
    NIGHTLY,
    NIGHTS,
    A,
    B,
    C,
    Rows,
    configured,
    export,
    load,
    pseudonyms,
    rotated,
    rows_of,
    write_rows,
)
from tests.pipeline.small import House, shortlist


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SHORTLIST_ID_KEY", "SHORTLIST_NEW_ID_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(name="company", scope="module")
def _company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days of exports; the first is loaded with key A, somebody is forgotten and a night has its features."""
    house = House(tmp_path_factory.mktemp("company"))
    for day in DAYS:
        export(house, day)
    with pytest.MonkeyPatch.context() as patch:
        load(house, 0, A, patch)
    return house.folder


@pytest.fixture(name="house")
def _house(company: Path, tmp_path: Path) -> House:
    """The company, to be changed."""
    return House(Path(shutil.copytree(company, tmp_path / "company", symlinks=True)))


@pytest.fixture(name="expected", scope="module")
def _expected(company: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Rows]:
    """The lake after the first and after the second day, made with both keys from the start."""
    house = House(tmp_path_factory.mktemp("expected"))
    shutil.copytree(company / "exports", house.folder / "exports")
    found = []
    for number in range(2):
        with pytest.MonkeyPatch.context() as patch:
            load(house, number, f"{B},{A}", patch)
        found.append(rows_of(house))
    return found


def test_a_rotated_lake_is_the_one_made_with_both_keys(
    house: House, expected: list[Rows], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row for row in every table, also after a further day; forgotten and suppressed people are the same people."""
    rotated(house, monkeypatch)
    monkeypatch.setenv("SHORTLIST_ID_KEY", f"{B},{A}")
    ingest.finish(NIGHTS[0], configured(house), [])
    assert rows_of(house) == expected[0]
    load(house, 1, f"{B},{A}", monkeypatch)
    assert rows_of(house) == expected[1]
    assert {"suppressions", "identities", "native_ids", "transactions", "events"} <= expected[1].keys()


def test_rows_lie_sorted_and_in_their_shard(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day's file is in the table's order, by the new pseudonyms; everybody is in the shard of their new one."""
    rotated(house, monkeypatch)
    lake = house.lake
    for name in ("events", "transactions", "identities", "native_ids", "customers"):
        for file in lake.files(name):
            rows = pq.ParquetFile(file).read().to_pylist()
            assert rows == sorted(rows, key=lambda row: tuple(row[column] for column in ORDER[name]))
    events = lake.read("events")
    assert events["shard"].to_pylist() == shard_of(np.asarray(events["person_id"])).tolist()


def test_no_old_pseudonym_is_left(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """In no file under the lake, of whatever version of a table or dead load; each became its successor.

    What the drift check saw of people is gone.
    """
    house.lake.looks.mkdir()
    np.savez(house.lake.looks / "seen.npz", people=np.array(sorted(pseudonyms(house))))
    dead = house.lake.staging / "dead"
    dead.mkdir(parents=True)
    (dead / "lock").touch()
    shutil.copy(house.lake.files("events")[0], dead / "events.parquet")
    old = pseudonyms(house)
    rotated(house, monkeypatch)
    assert len(old) > 30
    assert pseudonyms(house) == set(rotate(np.array(sorted(old)), B.encode()).tolist())
    assert {path.name for path in house.lake.root.glob(".*")} <= {".staging", ".rotation.lock"}
    assert not house.lake.looks.exists()


def test_every_id_of_the_schemas_is_rotated() -> None:
    """A whole number that is no count and no place is a pseudonym; a new column must say which it is."""
    whole = {(name, f.name) for name, t in schemas.LAKE.items() for f in t.schema if f.type == pa.int64()}
    known = {(name, column) for name, table in schemas.LAKE.items() for column in rotate_key.id_columns(table.schema)}
    assert whole - known == {("quarantine", "row_number"), ("loads", "rows")}


def test_the_vault_stays_its_owners(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before and after, nobody else can enter it or read what tells the right key from a wrong one."""
    for _ in range(2):
        assert stat.S_IMODE(house.lake.vault.stat().st_mode) == 0o700
        assert stat.S_IMODE((house.lake.vault / KEY_CHECK).stat().st_mode) == 0o600
        rotated(house, monkeypatch)


def test_again_with_the_same_keys_changes_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is not sure that it was done runs it again."""
    first = rotated(house, monkeypatch)
    versions, rows = house.lake.versions(), rows_of(house)
    assert rotated(house, monkeypatch) == first
    assert (house.lake.versions(), rows_of(house)) == (versions, rows)
    assert first.rows["events"] == house.lake.read("events").num_rows > 0
    assert first.rows[NIGHTLY] == len(rows[NIGHTLY][0][str(NIGHTS[0])])


def test_a_third_key_goes_before_the_others(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any number of rotations: the newest key comes first, and leads from native ids to the lake's pseudonyms."""
    rotated(house, monkeypatch)
    rotated(house, monkeypatch, old=f"{B},{A}", new=C)
    ids = Pseudonyms.parse(f"{C},{B},{A}", "KEY")
    vault = house.lake.read("native_ids")
    assert vault["id"].to_pylist() == [
        ids.one(native, kind)
        for native, kind in zip(vault["native_id"].to_pylist(), vault["id_type"].to_pylist(), strict=True)
    ]
    assert ids.fits(house.lake)


def test_only_both_keys_are_taken_afterwards(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old one alone, the new one alone, the wrong way round, another one: refused, without being repeated."""
    rotated(house, monkeypatch)
    versions = house.lake.versions()
    for key in (A, B, f"{A},{B}", C):
        monkeypatch.setenv("SHORTLIST_ID_KEY", key)
        with pytest.raises(ConfigurationError, match=r"made with another key.*rotate-key") as refused:
            ingest.run(NIGHTS[1], configured(house), start=DAYS[1])
        assert not any(part in str(refused.value) for part in key.split(","))
    assert house.lake.versions() == versions


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (C, B, "made with another key"),
        (A, A, "SHORTLIST_NEW_ID_KEY is in SHORTLIST_ID_KEY already"),
        (A, "", "SHORTLIST_NEW_ID_KEY must hold .* found nothing"),
        (A, "short", "SHORTLIST_NEW_ID_KEY must hold .* found 5 characters"),
        (A, f"{B},{C}", "SHORTLIST_NEW_ID_KEY must hold one key"),
    ],
)
def test_wrong_keys_are_refused(
    house: House, old: str, new: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is touched."""
    versions = house.lake.versions()
    with pytest.raises(ConfigurationError, match=message):
        rotated(house, monkeypatch, old, new)
    assert house.lake.versions() == versions


def test_nothing_is_rotated_under_a_load(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is being loaded has old pseudonyms and would come in after the rotation."""
    before = rows_of(house)
    with staging.opened(house.lake), pytest.raises(ShortlistError, match="a load is under way"):
        rotated(house, monkeypatch)
    assert rows_of(house) == before


@pytest.mark.parametrize("begun", [False, True])
def test_a_load_while_tables_are_rewritten_is_not_lost(
    house: House, begun: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it has ended or still goes on when they are ready, they are thrown away; the old key stays right."""
    real = swap.commit

    def commit(lake: Lake, made_of: dict[str, int]) -> None:
        if begun:
            stack.enter_context(staging.opened(lake))
        else:
            lake.replace_source("suppressions", lake.read("suppressions", source=FORGOTTEN), FORGOTTEN)
        real(lake, made_of)

    before = rows_of(house)
    monkeypatch.setattr(swap, "commit", commit)
    with ExitStack() as stack, pytest.raises(ShortlistError, match="load is under way" if begun else "changed while"):
        rotated(house, monkeypatch)
    assert {**rows_of(house), "loads": []} == {**before, "loads": []}
    assert Pseudonyms.of(configured(house)).fits(house.lake)


def test_one_rotation_at_a_time(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second is refused while the first holds the lake."""
    with swap.held(house.lake), pytest.raises(ShortlistError, match="another rotation is under way"):
        rotated(house, monkeypatch)


def test_without_a_lake_the_key_is_just_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to rewrite, and nothing is made."""
    house = House(tmp_path)
    with pytest.raises(ShortlistError, match="just set the new key"):
        rotated(house, monkeypatch)
    assert not house.lake.root.exists()


# ---------------------------------------------------------------- killed


def _tiny(folder: Path, patch: pytest.MonkeyPatch) -> House:
    """A day of web analytics, loaded with key A."""
    house = House(folder)
    write_rows(house, DAYS[1], "web", [{"event_id": i, "ts": f"{DAYS[1]}T08:00:00Z", "visitor_id": f"v{i}",
        "customer_id": f"k{i}", "content_id": "c", "event": "view"} for i in range(3)])  # fmt: skip
    patch.setenv("SHORTLIST_ID_KEY", A)
    ingest.run(NIGHTS[1], configured(house, "web"))
    assert Pseudonyms.of(configured(house)).fits(house.lake)
    return house


def test_killed_at_any_file_system_call_it_is_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And ends the same. In between whoever can rank finds one lake or the other; who needs the key ends the swap."""
    tiny = _tiny(tmp_path / "tiny", monkeypatch)
    before = rows_of(tiny)
    whole = House(Path(shutil.copytree(tiny.folder, tmp_path / "whole")))
    with calls() as made:
        rotated(whole, monkeypatch)
    wanted = rows_of(whole)
    for at in (n for n, (name, _) in enumerate(made.made) if name in ("rename", "replace", "remove")):
        house = House(Path(shutil.copytree(tiny.folder, tmp_path / str(at))))
        with calls("crash", at), pytest.raises(Crash):
            rotated(house, monkeypatch)
        if house.lake.exists("native_ids"):
            assert rows_of(house) in (before, wanted)
        if swap.pending(house.lake):
            monkeypatch.setenv("SHORTLIST_ID_KEY", f"{B},{A}")
            Pseudonyms.of(configured(house))
            assert rows_of(house) == wanted
        rotated(house, monkeypatch)
        assert rows_of(house) == wanted, f"killed at {made.made[at]}"
        assert pseudonyms(house) == pseudonyms(whole)
        assert {path.name for path in house.lake.root.glob(".*")} <= {".staging", ".rotation.lock"}


@pytest.mark.parametrize("at", range(2))
def test_killed_while_tables_are_rewritten_the_old_key_is_right(
    at: int, house: House, expected: list[Rows], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A half-built lake is seen by nobody and thrown away by the next rotation."""
    before = rows_of(house)
    adopted = 0
    real = Lake.adopt

    def adopt(lake: Lake, *arguments: Any) -> None:
        nonlocal adopted
        adopted += lake.root != house.lake.root
        if adopted > 5 * at:
            raise Crash
        real(lake, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "adopt", adopt)
        with pytest.raises(Crash):
            rotated(house, monkeypatch)
    assert {**rows_of(house), "loads": []} == {**before, "loads": []}
    assert Pseudonyms.of(configured(house)).fits(house.lake)
    rotated(house, monkeypatch)
    found = rows_of(house)
    assert {**found, "loads": []} == {**expected[0], "loads": []}


def test_a_table_begun_between_the_old_and_the_new_is_thrown_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who writes a table where a killed rotation left none writes into no lake: the rotated one takes its place."""
    house = _tiny(tmp_path / "killed", monkeypatch)
    house.lake.replace_night(NIGHTLY, pa.table({"person_id": pa.array([7])}), NIGHTS[0])
    whole = House(Path(shutil.copytree(house.folder, tmp_path / "whole")))
    rotated(whole, monkeypatch)

    def rename(source: Path, target: Path) -> None:
        if source.parent.name == ".rotated":
            raise Crash
        source.rename(target)

    with monkeypatch.context() as patch:
        patch.setattr(disk, "rename", rename)
        with pytest.raises(Crash):
            rotated(house, monkeypatch)
    assert not house.lake.exists(NIGHTLY)
    house.lake.replace_night(NIGHTLY, pa.table({"person_id": pa.array([8])}), NIGHTS[0])
    rotated(house, monkeypatch)
    assert rows_of(house) == rows_of(whole)


# ---------------------------------------------------------------- the command line


def test_the_command_says_what_to_do_next(
    house: House, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the variable and the order of the keys, prints no key, and `doctor` agrees before and after."""
    configured(house)
    monkeypatch.setenv("SHORTLIST_ID_KEY", A)
    monkeypatch.setenv("SHORTLIST_NEW_ID_KEY", B)
    said = shortlist(capsys, "rotate-key", "--config", house.file)
    assert said.code == 0
    assert said.lacks("SHORTLIST_ID_KEY must hold both, newest first: <new>,<old>", "events: ", " rows") == []
    assert said.lacks(A, B) == [A, B]
    assert _doctor(house, capsys) == (False, True)
    monkeypatch.setenv("SHORTLIST_ID_KEY", f"{B},{A}")
    assert _doctor(house, capsys) == (True, False)


def _doctor(house: House, capsys: pytest.CaptureFixture[str]) -> tuple[bool, bool]:
    """Whether the key is fine, and whether it is another lake's."""
    findings = shortlist(capsys, "doctor", "--config", house.file, "--json").json["findings"]
    key = next(found for found in findings if found["what"] == "key SHORTLIST_ID_KEY")
    return key["healthy"], "another key" in key["detail"]
