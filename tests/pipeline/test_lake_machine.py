"""The lake against plain dicts: whatever is loaded, changed, deleted, forgotten or crashes, in whatever order."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from expectations import schemas
from pipeline import erasure, ingest, lake_history, suppress
from pipeline.lake import UNDATED, Lake
from pipeline.pseudonyms import Pseudonyms
from tests.pipeline import model_lake
from tests.pipeline.dying import crashes_at
from tests.pipeline.model_lake import DAYS, NIGHT, UNITS, Row, Tables, Unit
from tests.pipeline.small import House

PROMISED = 600
STEPS, EXAMPLES = 100, 7
"""At most a hundred steps an example, often some fewer: together mostly more than are promised."""

KINDS = {
    *("export", "change", "delete", "load", "load again", "purge", "forget", "vacuum"),
    *("crash of a load", "crash of a purge"),
}

days = st.sampled_from(DAYS)
people = st.integers(0, 3)
contents = st.sampled_from(["/a", "/b", "/c"])


class Machine(RuleBasedStateMachine):
    """A company, its lake, and the dicts that say what the lake must hold.

    Steps are of two kinds: what the company does to its exports, and what we do with them. A real load costs a fifth of
    a second, so it takes in what several steps before it changed.
    """

    done: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="lake-machine-"))
        self.house = House(self.folder)
        self.config = self.house.configure(model_lake.SETTINGS)
        self.lake = Lake.of(self.config)
        self.ids = Pseudonyms.of(self.config)
        self.exports: dict[Unit, list[Row]] = {unit: [] for unit in UNITS}
        self.loaded: dict[Unit, list[Row] | None] = {}  # None is what a crash left half-done
        self.tables: Tables = {}
        self.seen: dict[str, tuple[frozenset[str], dict[tuple[str, date], list[Row]]]] = {}
        self.forgotten: set[int] = set()

    def teardown(self) -> None:
        """Nothing of an example is left."""
        shutil.rmtree(self.folder)

    # ------------------------------------------------------------ what the company does

    @rule(
        day=days, person=people, number=st.integers(0, 5), named=st.booleans(), content=contents, bought=st.booleans()
    )
    def visit(self, day: date, person: int, number: int, named: bool, content: str, bought: bool) -> None:
        """An event; of a number that was there before it is a duplicate. A browser is seen with one person only."""
        row = {
            "event_id": f"{day}-{number}",
            "ts": f"{day}T0{number}:00:00+00:00",
            "visitor_id": f"visitor-{person}",
            "customer_id": f"customer-{person}" if named else "",
            "order_id": f"order-{person}" if bought and named else "",
            "content_id": content,
            "event": "purchase" if bought else "view",
        }
        self._export(("web", day), row)

    @rule(day=days, person=people, line=st.integers(1, 3), known=st.sampled_from(["customer", "email", "both"]))
    def order(self, day: date, person: int, line: int, known: str) -> None:
        """A line of the person's only order."""
        row = {
            "order_id": f"order-{person}",
            "line_no": line,
            "ts": f"{day}T12:00:00+00:00",
            "customer_id": f"customer-{person}" if known != "email" else "",
            "email": f"Person-{person}@example.com" if known != "customer" else "",
            "content_id": "/a",
            "amount": line,
        }
        self._export(("shop", day), row)

    @rule(day=days, person=people, consent=st.sampled_from(["yes", "yes", "no", ""]), opted_out=st.booleans())
    def contact(self, day: date, person: int, consent: str, opted_out: bool) -> None:
        """What the CRM's snapshot of a day says of somebody."""
        row = {
            "customer_id": f"customer-{person}",
            "email": f"person-{person}@example.com" if person else "",
            "consent_personalization": consent,
            "opted_out_at": f"{day}T08:00:00+00:00" if opted_out and not consent else "",
        }
        unit = ("crm", day)
        self.exports[unit] = [r for r in self.exports[unit] if r["customer_id"] != row["customer_id"]]
        self._export(unit, row)

    @rule(
        day=days,
        hour=st.integers(0, 9),
        person=people,
        kind=st.sampled_from(["visitor_id", "customer_id", "email"]),
        said=st.sampled_from([("no", "gpc"), ("no", "objection"), ("yes", "consent")]),
    )
    def wish(self, day: date, hour: int, person: int, kind: str, said: tuple[str, str]) -> None:
        """What somebody says outside the CRM, under one of their ids."""
        native = f"person-{person}@example.com" if kind == "email" else f"{kind.removesuffix('_id')}-{person}"
        row = {
            "ts": f"{day}T0{hour}:30:00+00:00",
            **dict.fromkeys(("visitor_id", "customer_id", "email"), ""),
            kind: native,
            "personalization": said[0],
            "reason": said[1],
        }
        self._export(("wishes", None), row)

    @precondition(lambda self: self._rows("web", "shop"))
    @rule(at=st.integers(0, 99), content=contents)
    def change(self, at: int, content: str) -> None:
        """Somewhere a row's content changes."""
        self._change(at, {"content_id": content})

    @precondition(lambda self: self._rows("web", "shop"))
    @rule(at=st.integers(0, 99))
    def spoil(self, at: int) -> None:
        """Somewhere a row's time becomes unreadable."""
        self._change(at, {"ts": "?"})

    @precondition(lambda self: self._rows("web", "shop", "crm", "wishes"))
    @rule(at=st.integers(0, 99))
    def delete(self, at: int) -> None:
        """An export loses a row."""
        unit, number = self._one_of(self._rows("web", "shop", "crm", "wishes"), at)
        self.exports[unit] = [*self.exports[unit][:number], *self.exports[unit][number + 1 :]]
        self._did("delete")

    @precondition(lambda self: self._rows("web", "shop", "crm", "wishes"))
    @rule(at=st.integers(0, 99))
    def empty(self, at: int) -> None:
        """An export loses all of its rows."""
        unit, _ = self._one_of(self._rows("web", "shop", "crm", "wishes"), at)
        self.exports[unit] = []
        self._did("delete")

    def _change(self, at: int, changes: Row) -> None:
        unit, number = self._one_of(self._rows("web", "shop"), at)
        changed = {**self.exports[unit][number], **changes}
        self.exports[unit] = [*self.exports[unit][:number], changed, *self.exports[unit][number + 1 :]]
        self._did("change")

    def _rows(self, *sources: str) -> list[tuple[Unit, int]]:
        return [
            (unit, number) for unit, rows in self.exports.items() if unit[0] in sources for number in range(len(rows))
        ]

    @staticmethod
    def _one_of(rows: list[tuple[Unit, int]], at: int) -> tuple[Unit, int]:
        return rows[at % len(rows)]

    def _export(self, unit: Unit, row: Row) -> None:
        self.exports[unit] = [*self.exports[unit], row]
        self._did("export")

    # ------------------------------------------------------------ what we do

    def _due(self) -> list[Unit]:
        return [unit for unit in UNITS if self.exports[unit] != self.loaded.get(unit, [])]

    def _load(self, unit: Unit) -> ingest.IngestReport:
        model_lake.write(self.folder / "exports", unit, self.exports[unit])
        return ingest.load(ingest.Unit(*unit).to_json(), NIGHT, self.config)

    def _after_load(self, unit: Unit) -> Tables:
        """The tables when the unit's rows have taken the place of what its source brought for it."""
        objecting = model_lake.suppressed(self.tables, besides=unit[0])
        new = model_lake.loaded(unit, self.exports[unit], self.ids, objecting, self.forgotten)
        others = {
            table: {place: rows for place, rows in places.items() if not _of(unit, place)}
            for table, places in self.tables.items()
        }
        return {name: {**others.get(name, {}), **new.get(name, {})} for name in {*others, *new}}

    @precondition(lambda self: self._due())
    @rule(which=st.integers(0, 99))
    def load(self, which: int) -> None:
        """One of the changed exports is loaded."""
        due = self._due()
        unit = due[which % len(due)]
        expected = self._after_load(unit)
        assert self._load(unit).changed
        self.tables, self.loaded[unit] = expected, list(self.exports[unit])
        assert not [path for path in self.lake.staging.iterdir() if path.is_dir()], "work in progress was left behind"
        self._did("load")

    @precondition(lambda self: self._clean())
    @rule(which=st.integers(0, 99))
    def load_again(self, which: int) -> None:
        """An export as it was loaded changes no version of any table."""
        clean, before = self._clean(), self.lake.versions()
        assert not self._load(clean[which % len(clean)]).changed
        assert self.lake.versions() == before
        self._did("load again")

    def _clean(self) -> list[Unit]:
        return [unit for unit, rows in self.loaded.items() if self.exports[unit] == rows]

    @precondition(lambda self: self._unwanted())
    @rule()
    def purge(self) -> None:
        """Who objects leaves; the second time there is nobody."""
        self.tables = model_lake.without(self.tables, model_lake.suppressed(self.tables))
        erasure.purge(self.lake, NIGHT, self.config)
        before = self.lake.versions()
        assert erasure.purge(self.lake, NIGHT, self.config) == {}
        assert self.lake.versions() == before
        self._did("purge")

    def _unwanted(self) -> bool:
        return model_lake.without(self.tables, model_lake.suppressed(self.tables)) != self.tables

    @precondition(lambda self: self.tables.get("native_ids"))
    @rule(person=people)
    def forget(self, person: int) -> None:
        """Somebody is gone with all their ids, and comes back with no load."""
        known = model_lake.ids_of({self.ids.one(f"customer-{person}", "customer")}, self.tables)
        self.forgotten |= known
        place = (suppress.FORGOTTEN, UNDATED)
        rows = [_forgotten(one) for one in sorted(self.forgotten)]
        table = pa.Table.from_pylist(rows, schema=schemas.LAKE["suppressions"].schema)
        self.lake.replace_day("suppressions", table, *place)
        erasure.forget_people(self.lake, pa.array(sorted(self.forgotten), pa.int64()))
        self.tables = model_lake.forgotten(self.tables, self.forgotten)
        self.tables.setdefault("suppressions", {})[place] = sorted(rows, key=repr)
        self._did("forget")

    @precondition(lambda self: self.loaded)
    @rule()
    def vacuum(self) -> None:
        """What no table refers to is gone from the disk, the remains of crashes too."""
        lake_history.vacuum(self.lake, timedelta(0))
        for table in self.lake.versions():
            on_disk = {path.name for path in self.lake.path(table).glob("source=*/**/*.parquet")}
            assert on_disk == {Path(file).name for file in self.lake.files(table)}, table
        self._did("vacuum")

    # ------------------------------------------------------------ what goes wrong

    @precondition(lambda self: self._due())
    @rule(which=st.integers(0, 99), at=st.integers(0, 24))
    def crash_of_a_load(self, which: int, at: int) -> None:
        """A load dies at one of its writes: each table is as before or as after, and the proof is of what is there."""
        due = self._due()
        unit = due[which % len(due)]
        before, after = self.tables, self._after_load(unit)
        proven = self._proof(unit)
        died = crashes_at(at, self.lake.staging, lambda: self._load(unit))
        self.tables = observed = self._observed(before, after)
        proof = self._proof(unit)
        if proof == []:
            self.loaded[unit] = None
        elif proof == proven:
            assert not _differences(observed, before), "the proof of the last load is beside rows of another"
        else:
            assert not _differences(observed, after), "a load is proven that was not whole"
            self.loaded[unit] = list(self.exports[unit])
        assert died or proof != proven
        self._did("crash of a load")

    @precondition(lambda self: self._unwanted())
    @rule(at=st.integers(0, 6))
    def crash_of_a_purge(self, at: int) -> None:
        """A purge dies at one of its writes: it loses nobody's rows but those of who objects."""
        after = model_lake.without(self.tables, model_lake.suppressed(self.tables))
        crashes_at(at, self.lake.staging, lambda: erasure.purge(self.lake, NIGHT, self.config))
        self.tables = self._observed(self.tables, after)
        self._did("crash of a purge")

    def _proof(self, unit: Unit) -> list[Row]:
        days_ = [unit[1] or UNDATED]
        rows: list[Row] = self.lake.read("loads", source=unit[0], days=days_).to_pylist()
        return rows

    def _observed(self, before: Tables, after: Tables) -> Tables:
        """What the lake holds, each (source, day) of each table as before or as after."""
        found = self._read()
        for name in {*before, *after, *found}:
            for place in {*before.get(name, {}), *after.get(name, {}), *found.get(name, {})}:
                was, becomes, now = (tables.get(name, {}).get(place, []) for tables in (before, after, found))
                assert now in (was, becomes), f"{name} of {place} is neither as before nor as after"
        return found

    # ------------------------------------------------------------ what must hold

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        """Every row of every table, after every step."""
        assert _differences(self._read(), self.tables) == {}

    def _read(self) -> Tables:
        """All tables but the proofs; one of which no file came or went is as it was."""
        for name in schemas.LAKE:
            files = frozenset(str(path) for path in self.lake.path(name).rglob("*"))
            if name != "loads" and files != self.seen.get(name, (frozenset(), {}))[0]:
                self.seen[name] = (files, _placed(self.lake.read(name)))
        return {name: places for name, (_, places) in self.seen.items() if places}

    def _did(self, what: str) -> None:
        self.done[what] += 1


def _placed(table: pa.Table) -> dict[tuple[str, date], list[Row]]:
    """The rows by (source, day), in an order of their own."""
    places: dict[tuple[str, date], list[Row]] = {}
    for row in sorted(table.to_pylist(), key=repr):
        places.setdefault((row["source"], row["day"]), []).append(row)
    return places


def _of(unit: Unit, place: tuple[str, date]) -> bool:
    return place[0] == unit[0] and unit[1] in (None, place[1])


def _differences(found: Tables, expected: Tables) -> dict[str, tuple[list[Row], list[Row]]]:
    """By table, the rows that only one of them has."""
    differ: dict[str, tuple[list[Row], list[Row]]] = {}
    for name in {*found, *expected}:
        ours, theirs = ([row for rows in tables.get(name, {}).values() for row in rows] for tables in (found, expected))
        if sorted(ours, key=repr) != sorted(theirs, key=repr):
            differ[name] = ([row for row in ours if row not in theirs], [row for row in theirs if row not in ours])
    return differ


def _forgotten(one: int) -> Row:
    since = datetime(2026, 6, 30, tzinfo=NIGHT.tzinfo)
    wish = {"id": one, "id_type": "customer", "personalization": False, "reason": "forgotten", "since": since}
    return {**wish, "source": suppress.FORGOTTEN, "day": UNDATED}


def test_the_lake_is_what_the_dicts_are() -> None:
    """600 steps in any order, no difference; chance may leave steps out, so it goes on until all kinds were done."""
    Machine.done.clear()
    for examples in (EXAMPLES, 2 * EXAMPLES, 4 * EXAMPLES):
        few = settings(
            max_examples=examples, stateful_step_count=STEPS, suppress_health_check=list(HealthCheck), print_blob=True
        )
        run_state_machine_as_test(Machine, settings=few)
        if Machine.done.total() >= PROMISED and {*Machine.done} == KINDS:
            break
    assert Machine.done.total() >= PROMISED
    assert {*Machine.done} == KINDS


def test_every_write_of_a_load_may_be_its_last() -> None:
    """Wherever it dies, the old export again is the old lake, and the new one again the new."""
    machine = Machine()
    unit: Unit = ("web", DAYS[0])
    machine.visit(DAYS[0], person=0, number=0, named=True, content="/a", bought=False)
    machine.load(which=0)
    old = machine.exports[unit]
    machine.visit(DAYS[0], person=1, number=1, named=True, content="/b", bought=True)
    new = machine.exports[unit]
    at = 0
    while machine.loaded[unit] != new:
        machine.exports[unit] = old
        if machine.loaded[unit] != old:
            machine.load(which=0)
        machine.exports[unit] = new
        machine.crash_of_a_load(which=0, at=at)
        machine.holds_what_the_model_holds()
        at += 1
    machine.teardown()
    assert at > 10
