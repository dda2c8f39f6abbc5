"""Forgetting: no byte that says who they were is left, nobody else loses a row, and nothing brings them back."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable, write_deltalake

from pipeline import config as configuration
from pipeline import disk, erasure, exports, forget, ingest, snapshot, suppress
from pipeline import lake as lake_module
from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.lake import UNDATED
from pipeline.ranked import write_ranked
from pipeline.snapshot import Ranked
from tests.pipeline import nights
from tests.pipeline.exported import content, exported, says
from tests.pipeline.faults import CALLS, Crash
from tests.pipeline.known import KEY, NIGHT, everything, traces
from tests.pipeline.small import House, in_order, shortlist
from tests.pipeline.traces import Traces

DAY = date(2026, 6, 30)
WEB = '[[sources]]\nname = "web"\nformat = "table"\ntable = "events"\npath = "exports/web_{date:%Y%m%d}.csv"\n'
FORMS = ("csv", "delta")
EXPORTS = '[publish]\nalso = ["csv", "delta"]\n'
CRM = '[[sources]]\nname = "crm"\nformat = "table"\ntable = "customers"\npath = "exports/crm_{date:%Y%m%d}.csv"\n'


@pytest.fixture(name="made", scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two customers, p000 and p001, each with a browser and an address; a visitor p002; two published nights."""
    house = House(tmp_path_factory.mktemp("made"))
    house.configure(EXPORTS + WEB + CRM)
    house.write_csv(f"exports/web_{DAY:%Y%m%d}.csv", list(clicks()))
    house.write_csv(f"exports/crm_{DAY:%Y%m%d}.csv", list(contacts()))
    config = configuration.load(house.file)
    ingest.run(NIGHT, config)
    ids = [KEY.one(*one) for one in (("p000", "customer"), ("p001", "customer"), ("p002", "visitor"))]
    house.lake.replace_night("person_features", pa.table({"person_id": ids, "events": [1.0, 2.0, 3.0]}), NIGHT)
    for night in range(2):
        nights.publish(house.lake.rankings, night)
        exports.update(config)
    tables = nights.ranked(2)
    write_ranked(house.lake, NIGHT, ((name, getattr(tables, name)) for name in ("people", "segments", "default")))
    return house.folder


def clicks() -> Iterator[dict[str, object]]:
    """Each comes by their own browser, p000 by two."""
    seen = [("cookie-a", "p000"), ("cookie-a", ""), ("cookie-b", "p001"), ("p002", ""), ("cookie-c", "p000")]
    for at, (visitor, customer) in enumerate(seen):
        yield {
            "event_id": f"e{at}",
            "ts": f"{DAY}T{at:02d}:00:00Z",
            "visitor_id": visitor,
            "customer_id": customer,
            "content_id": f"c{at}",
            "event": "view",
        }


def contacts() -> Iterator[dict[str, object]]:
    """The CRM; nobody objects."""
    for name in ("p000", "p001"):
        yield {"customer_id": name, "email": f"{name}@example.com", "consent_personalization": "yes"}


@pytest.fixture(name="house")
def _house(made: Path, tmp_path: Path) -> House:
    return House(Path(shutil.copytree(made, tmp_path / "house", symlinks=True)))


def p000(house: House) -> Traces:
    """All ids of the customer p000."""
    config = configuration.load(house.file)
    return traces(house.lake, config, ("p000", "customer"), ("p000@example.com", "email"), emails=["p000@example.com"])


def forgotten(house: House, *persons: str, **options: Any) -> forget.ForgetReport:
    """`forget.run` with the configuration as it is."""
    return forget.run(NIGHT, configuration.load(house.file), persons, **options)


def kept(house: House) -> dict[str, Any]:
    """Everything that is read from the house."""
    lake = house.lake
    published = {
        name: snapshot.table_of(lake.rankings / "snapshots" / name, "people").to_pylist()
        for name in snapshot.snapshots(lake.rankings)
    }
    listed = {"suppressions": in_order(lake.read("suppressions"))}
    features = lake.read_night("person_features", NIGHT).to_pylist()
    tables = {name: in_order(lake.read(name)) for name in (*erasure.PERSONAL, *erasure.LINKS, "loads")}
    return {
        **tables,
        **listed,
        "features": features,
        "published": published,
        "current": snapshot.resolve(lake.rankings).name,
        "exports": [(content(house, form), says(house, form)["snapshot"]) for form in FORMS],
        "ranked": [p.name for p in lake.ranked.iterdir()],
    }


@pytest.mark.parametrize("named", ["p000", "cookie-c", " P000@Example.com"])
def test_any_id_leads_to_the_whole_person(house: House, named: str) -> None:
    """By customer id, a browser or e-mail: the same ids go, and the others keep what they have."""
    theirs = p000(house)
    assert len(theirs.pseudonyms) == 4
    before = everything(house.lake, theirs)
    report = forgotten(house, named)
    assert theirs.left_in(house.folder) == []
    assert everything(house.lake, theirs) == before
    assert set(suppress.forgotten(house.lake).to_pylist()) == set(theirs.pseudonyms)
    assert len(report.removed.snapshots) == 2
    assert report.removed.exports == FORMS
    assert report.removed.ranked == ("2026-07-01T000000Z",)
    assert all(
        snapshot.verify(house.lake.rankings / "snapshots" / name) == []
        for name in snapshot.snapshots(house.lake.rankings)
    )


def test_a_list_that_is_gone_is_no_trace_of_them(house: House) -> None:
    """Exports tell systems whose list to clear; of whoever is forgotten not even that is told any more."""
    theirs, config = p000(house), configuration.load(house.file)
    without = nights.ranked(2)
    people = without.people.filter(pc.not_equal(without.people["person_id"], "p000"))
    staged = snapshot.stage(
        house.lake.rankings, Ranked(people, without.segments, without.default), nights.facts(), nights.as_of(2)
    )
    snapshot.commit(house.lake.rankings, staged)
    exports.update(config)
    serves = snapshot.resolve(house.lake.rankings).name
    for form in FORMS:
        told = [row for row in exported(house, form, "changes") if row["person_id"] == "p000"]
        assert [(row["change"], row["content_id"], row["reason"]) for row in told] == [("gone", None, None)]
        assert theirs.left_in(house.lake.exports / form)
    assert forgotten(house, "p000").removed.exports == FORMS
    assert theirs.left_in(house.folder) == []
    assert snapshot.resolve(house.lake.rankings).name == serves, "what serves had nothing of theirs"


def test_exports_that_nobody_asks_for_any_more_go_as_well(house: House) -> None:
    """A format that was dropped from the configuration still has them in it."""
    theirs = p000(house)
    house.configure(WEB + CRM)
    assert forgotten(house, "p000").removed.exports == ()
    assert theirs.left_in(house.folder) == []
    assert [path.name for path in house.lake.exports.iterdir()] == [".lock"]


MUTATORS = ("vacuum", "create_write_transaction", "create_checkpoint", "cleanup_metadata")


class Mortal:
    """Counts everything that changes a file or a table; the process dies just before the call `at`."""

    def __init__(self, at: int = -1) -> None:
        self.at = at
        self.made: list[str] = []

    def wrap(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        """`real`, until its turn comes."""

        def call(*arguments: Any, **named: Any) -> Any:
            self.made.append(name)
            if len(self.made) - 1 == self.at:
                raise Crash
            return real(*arguments, **named)

        return call


@contextmanager
def dying(at: int = -1) -> Iterator[Mortal]:
    """Every call of `pipeline.disk` and every commit of Delta goes through the yielded object."""
    mortal = Mortal(at)
    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(disk, name, mortal.wrap(name, getattr(disk, name)))
        for name in MUTATORS:
            patch.setattr(DeltaTable, name, mortal.wrap(name, getattr(DeltaTable, name)))
        patch.setattr(lake_module, "write_deltalake", mortal.wrap("write_deltalake", write_deltalake))
        yield mortal


def test_killed_anywhere_and_run_again(house: House, made: Path, tmp_path: Path) -> None:
    """Whatever the last call was, readers find a whole snapshot, and the next run ends where one run would have."""
    theirs = p000(house)
    with dying() as whole:
        forgotten(house, "p000")
    expected = kept(house)
    assert set(whole.made) >= {*MUTATORS, "write_deltalake", "write", "rename", "replace", "remove"}
    for at in moments(whole.made):
        again = House(Path(shutil.copytree(made, tmp_path / str(at), symlinks=True)))
        with dying(at), pytest.raises(Crash):
            forgotten(again, "p000")
        assert snapshot.verify(snapshot.resolve(again.lake.rankings)) == []
        forgotten(again, "p000")
        assert theirs.left_in(again.folder) == [], f"after dying before call {at}, {whole.made[at]}"
        assert kept(again) == expected


def moments(made: list[str]) -> list[int]:
    """Wherever the run passes from one kind of call to another for the first time, and its last call."""
    steps = {step: at for at, step in reversed(list(enumerate(zip(["", *made], made, strict=False))))}
    return sorted({*steps.values(), len(made) - 1})


def test_old_exports_do_not_bring_them_back(house: House) -> None:
    """The same files read anew, in another way: others' rows are all there, theirs and what leads to them are not."""
    theirs = p000(house)
    forgotten(house, "p000")
    before = everything(house.lake, theirs)
    house.configure(WEB + "delay_minutes = 5\nlate_days = 3\n" + CRM + "late_days = 3\ndelay_minutes = 5\n")
    report = ingest.run(NIGHT, configuration.load(house.file))
    assert sum(day.suppressed for day in report.days) == 4
    assert theirs.left_in(house.folder) == []
    after = everything(house.lake, theirs)
    assert {name: len(rows) for name, rows in after.items()} == {name: len(rows) for name, rows in before.items()}


def test_links_of_people_who_object_stay(house: House) -> None:
    """An objection, other than being forgotten, must reach the browsers that are found later: no link is dropped."""
    links = in_order(house.lake.read("identities"))
    told = {"id": KEY.one("p001", "customer"), "id_type": "customer", "personalization": False}
    rows = pa.Table.from_pylist(
        [{**told, "reason": "objection", "since": NIGHT.replace(year=2025), "source": "web", "day": UNDATED}],
        schema=house.lake.read("suppressions").schema,
    )
    house.lake.replace_day("suppressions", rows, "web", UNDATED)
    ingest.finish(NIGHT, configuration.load(house.file), [])
    assert in_order(house.lake.read("identities")) == links
    assert KEY.one("cookie-b", "visitor") not in house.lake.read("events")["person_id"].to_pylist()


def test_somebody_unknown_is_kept_out(house: House) -> None:
    """Nothing is removed, the receipt says so, and whatever kind of id it is, it never comes in."""
    before = kept(house)
    report = forgotten(house, "newcomer")
    assert (report.people, report.unknown, report.models) == (1, 1, ())
    assert report.removed == forget.Removed({}, (), (), (), {})
    assert {**kept(house), "suppressions": None} == {**before, "suppressions": None}
    kinds = {row["id_type"]: row["id"] for row in kept(house)["suppressions"]}
    assert kinds == {kind: KEY.one("newcomer", kind) for kind in ("customer", "visitor", "email")}
    assert "newcomer" not in Path(report.receipt).read_text(encoding="utf-8")


def test_an_id_of_two_people_asks_which(house: House) -> None:
    """A browser called like a customer: nothing is removed until the kind is said, and then of that one alone."""
    rows = [*clicks(), {**next(clicks()), "event_id": "x", "visitor_id": "p001", "customer_id": ""}]
    house.write_csv(f"exports/web_{DAY:%Y%m%d}.csv", rows)
    ingest.run(NIGHT, configuration.load(house.file), start=DAY, end=DAY)
    before = kept(house)
    with pytest.raises(ShortlistError, match=r"different people, as customer and as visitor.*--id-type"):
        forgotten(house, "p001")
    assert kept(house) == before
    assert forgotten(house, "p001", id_type="visitor").removed.rows == {"events": 1, "native_ids": 1}


def test_nothing_is_done_while_a_night_runs(house: House) -> None:
    """A run has rows in memory that it would write afterwards: forgetting waits for nobody and says why."""
    home = house.lake.airflow / "local"
    home.mkdir(parents=True)
    lock = disk.try_lock(home / "lock")
    assert lock is not None
    before = kept(house)
    with lock, pytest.raises(ShortlistError, match="`shortlist run` or another `shortlist forget` is under way"):
        forgotten(house, "p000")
    assert kept(house) == before


def test_an_empty_id_is_nobody(house: House) -> None:
    """A variable that a script forgot to set must not forget anybody."""
    with pytest.raises(ConfigurationError, match="an empty id names nobody"):
        forgotten(house, "p000", " ")
    assert not suppress.forgotten(house.lake)


def test_logs_of_old_tables_are_cleaned(house: House) -> None:
    """Tables made by earlier releases have least and greatest ids in their logs; they go, and the rows stay."""
    theirs, lake = p000(house), house.lake
    shutil.rmtree(lake.path("person_features"))
    rows = pa.table({"person_id": sorted(theirs.pseudonyms), "night": ["2026-07-01T000000Z"] * 4})
    other = pa.table({"person_id": [1], "night": ["2026-06-30T000000Z"]})
    for part in (rows, other):
        write_deltalake(lake.path("person_features"), part, partition_by=["night"], mode="append")
    assert theirs.left_in(lake.path("person_features"))
    forgotten(house, "p000")
    assert theirs.left_in(house.folder) == []
    assert DeltaTable(lake.path("person_features")).to_pyarrow_table()["person_id"].to_pylist() == [1]


def test_snapshots_of_one_night_keep_their_order(house: House) -> None:
    """Grading takes the last published of a night; rewriting one must not make it the last."""
    root = house.lake.rankings
    only = nights.ranked(0, variant=1)
    without = Ranked(only.people.filter(pc.equal(only.people["person_id"], "p002")), only.segments, only.default)
    later = snapshot.commit(root, snapshot.stage(root, without, nights.facts(night=9), nights.as_of(0)))
    forgotten(house, "p000")
    of_night = [name for name in snapshot.snapshots(root) if name.startswith("2026-11-01")]
    assert len(of_night) == 2
    assert max(of_night, key=lambda name: (root / "snapshots" / name).stat().st_mtime_ns) == later.name


def test_a_person_is_asked_before(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    """At a terminal nothing happens without a yes; the words that follow name nobody."""
    before = kept(house)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        patch.setattr("typer.confirm", _no)
        assert shortlist(capsys, "forget", "p000", "--config", house.file).code == 1
    assert kept(house) == before
    said = shortlist(capsys, "forget", "p000", "--yes", "--config", house.file)
    assert said.code == 0
    assert said.lacks("1 people are on the suppression list for good", "events: 3 rows removed") == []
    assert "p000" not in said.err


def _no(*_: object, **__: object) -> None:
    raise SystemExit(1)
