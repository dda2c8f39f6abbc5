"""Bad input, end to end: each kind gives the one message that an operator needs, and what is published stays."""

from __future__ import annotations

import csv
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.pipeline import faults
from tests.pipeline.small import House, Said, shortlist
from tests.worlds import World

DAY, NEXT = date(2026, 7, 1), "2026-07-02"
"""The day whose exports are spoilt, and the night that wants them; the night before is published."""

PATHS = {
    "web": f"ga4/events_{DAY:%Y%m%d}.parquet",
    "crm": f"hubspot/contacts_{DAY:%Y%m%d}.csv",
    "shop": f"shopify/orders_{DAY:%Y%m%d}.csv",
    "catalogue": f"wordpress/posts_{DAY:%Y%m%d}.json",
}


@dataclass(frozen=True)
class Door:
    """A published company on the evening before its next night, and its one command."""

    house: House
    capsys: pytest.CaptureFixture[str]

    def export(self, source: str) -> Path:
        """The source's file of the day."""
        return self.house.folder / "exports" / PATHS[source]

    def only(self, source: str, more: str = "") -> None:
        """Leave just this source in the configuration, with further settings."""
        head, *sources = self.house.file.read_text(encoding="utf-8").split("[[sources]]\n")
        (kept,) = (text for text in sources if text.startswith(f'name = "{source}"'))
        its_own, sections = kept.partition("\n[")[0], sources[-1].partition("\n[")[2]
        self.house.file.write_text(f"{head}[[sources]]\n{its_own}\n{more}\n[{sections}", encoding="utf-8")

    def run(self, *arguments: object) -> Said:
        """One command for the next night."""
        return shortlist(self.capsys, *arguments, "--config", self.house.file, "--as-of", NEXT)

    def ingest(self) -> Said:
        """Ingest, which must succeed and leave alone what is published."""
        before = self.house.served()
        said = self.run("ingest", "--json")
        assert said.code == 0, said.err
        assert self.house.served() == before
        return said

    def check_refusal(self, *words: str, step: str = "ingest", code: int = 1) -> None:
        """The step fails with one message that has these words, and neither the lake nor what is published felt it."""
        before = self.house.served(), self.house.lake.versions()
        said = self.run(step)
        assert (said.code, said.lacks(*words), said.out) == (code, [], ""), said.err
        assert said.err.count("error: ") == 1
        assert "Traceback" not in said.err
        assert (self.house.served(), self.house.lake.versions()) == before
        assert any("CURRENT" in name for name in before[0])


@pytest.fixture
def door(small_night: World, copy_of: Callable[[World], World], capsys: pytest.CaptureFixture[str]) -> Door:
    """A copy to spoil."""
    return Door(House(copy_of(small_night).folder), capsys)


def cells(path: Path) -> list[list[str]]:
    """A CSV's records, its header first."""
    return list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))


def write(path: Path, records: list[list[str]]) -> None:
    """A CSV of these records, each as long as it is."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(records)


# ---------------------------------------------------------------- files that cannot be used


def test_a_missing_export(door: Door) -> None:
    """The message has the day, the file that was looked for, and the newest one that there is."""
    door.export("web").unlink()
    door.only("web")
    door.check_refusal(
        "web: no export for 2026-07-01:", str(door.export("web")), "the newest is", "events_20260630.parquet"
    )


@pytest.mark.parametrize("source", PATHS)
def test_an_empty_file(door: Door, source: str) -> None:
    """Zero bytes are a failed export, whatever the format."""
    door.export(source).write_bytes(b"")
    door.only(source)
    door.check_refusal(f"{source}: {door.export(source)} is empty (0 bytes)", "make it again")


def test_a_truncated_parquet(door: Door) -> None:
    """Half a Parquet file is said to be cut off."""
    content = door.export("web").read_bytes()
    door.export("web").write_bytes(content[: len(content) // 2])
    door.only("web")
    door.check_refusal(f"web: {door.export('web')} is no whole Parquet file", "cut off or damaged", "export it again")


def test_a_csv_in_the_wrong_encoding(door: Door) -> None:
    """The message has the first bad line and the likely encoding, and doing what it says helps."""
    records = cells(door.export("crm"))
    records[2][records[0].index("Last Name")] = "Böhm"
    text = "\n".join(",".join(record) for record in records)
    door.export("crm").write_bytes(text.encode("cp1252"))
    door.only("crm")
    door.check_refusal(f"crm: {door.export('crm')} is not utf-8: byte", "(line 3)", 'Set `encoding = "cp1252"`')
    door.only("crm", 'encoding = "cp1252"')
    day = door.ingest().json["days"][-1]
    assert day["kept"] + day["suppressed"] == len(records) - 1


def test_a_csv_without_a_column(door: Door) -> None:
    """A column that we cannot do without is named with what it holds, beside the columns that there are."""
    write(door.export("crm"), [record[1:] for record in cells(door.export("crm"))])
    door.only("crm")
    door.check_refusal(
        "crm:", str(door.export("crm")), "no column 'Record ID', which holds `customer_id`", "it has: First Name,"
    )


def test_a_csv_with_a_renamed_column(door: Door) -> None:
    """The nearest column is offered as a line to copy, and copying it helps."""
    header, *records = cells(door.export("crm"))
    write(door.export("crm"), [["Record-ID", *header[1:]], *records])
    line = 'customer_id = "Record-ID"'
    door.only("crm")
    door.check_refusal("no column 'Record ID'", "The nearest is 'Record-ID'", f"put `{line}` under [sources.columns]")
    door.only("crm", f"late_days = 0\n[sources.columns]\n{line}")  # the days before were not renamed
    day = door.ingest().json["days"][-1]
    assert day["kept"] + day["suppressed"] == len(records)


def test_too_many_broken_rows(door: Door) -> None:
    """An export of which more than `max_quarantined_share` is broken is refused whole, with the reasons counted."""
    header, *records = cells(door.export("crm"))
    broken = len(records) // 4
    write(door.export("crm"), [header, *(r[:3] for r in records[:broken]), *records[broken:]])
    door.only("crm")
    door.check_refusal(
        f"crm 2026-07-01: {broken} of {len(records)} rows",
        f"{broken} x has 3 fields where the header has {len(header)}",
        "quality.max_quarantined_share = 0.2",
        "Nothing was loaded; mend the export and run ingest again.",
    )


def test_a_day_with_far_too_few_rows(door: Door) -> None:
    """An export that is whole but holds a fraction of a usual day is refused by its suite, and the Data Docs say so."""
    path = door.export("web")
    pq.write_table(pq.read_table(path).slice(0, 5), path)
    door.only("web")
    door.check_refusal(
        "web 2026-07-01: table 'events' breaks its contract, so nothing of this export was loaded",
        "expect_table_row_count_to_be_between(min_value=",
        "found: ",
        "Data Docs: ",
    )
    pages = (door.house.lake.data_docs / "data_docs" / "validations" / "events" / "web 2026-07-01").rglob("*.html")
    assert ["Failed" in page.read_text(encoding="utf-8") for page in pages] == [True]


# ---------------------------------------------------------------- files with a few bad rows


def test_embedded_newlines(door: Door) -> None:
    """A line break within quotes is part of its cell: no row is lost, and the rows after it keep their numbers."""
    header, *records = cells(door.export("crm"))
    records[0][header.index("First Name")] = 'Ann\n"Anna"\r\nMaria'
    write(door.export("crm"), [header, *records[:4], records[4][:-1], *records[5:]])
    door.only("crm")
    (report,) = door.ingest().json["days"]
    assert (report["read"], report["kept"] + report["suppressed"]) == (len(records), len(records) - 1)
    assert door.house.lake.read("quarantine", source="crm", days=[DAY])["row_number"].to_pylist() == [5]


def test_five_percent_broken_rows(door: Door) -> None:
    """They are set aside with file, number and reason and nothing of what they held; the others are loaded."""
    header, *records = cells(door.export("crm"))
    broken = range(0, len(records), 20)
    write(door.export("crm"), [header, *(r[:-1] if i in broken else r for i, r in enumerate(records))])
    door.only("crm")
    reason = f"has {len(header) - 1} fields where the header has {len(header)}"
    (report,) = door.ingest().json["days"]
    assert report["quarantined"] == {reason: len(broken)}
    assert report["kept"] + report["suppressed"] == len(records) - len(broken)
    assert door.house.lake.read("customers", source="crm", days=[DAY]).num_rows == report["kept"]
    where = {
        "table": "customers",
        "source_file": door.export("crm").name,
        "reason": reason,
        "source": "crm",
        "day": DAY,
    }
    kept = door.house.lake.read("quarantine", source="crm", days=[DAY]).sort_by("row_number").to_pylist()
    assert kept == [{**where, "row_number": i + 1} for i in broken]


def test_a_timestamp_in_the_future(door: Door) -> None:
    """An event a year ahead of its export is set aside; the night does not know it."""
    path = door.export("web")
    events = pq.read_table(path)
    ahead = [us + 365 * 86_400_000_000 if i < 3 else us for i, us in enumerate(events["event_timestamp"].to_pylist())]
    at = events.column_names.index("event_timestamp")
    pq.write_table(events.set_column(at, "event_timestamp", pa.array(ahead, pa.int64())), path)
    door.only("web")
    quarantined = {reason: n for day in door.ingest().json["days"] for reason, n in day["quarantined"].items()}
    assert list(quarantined) == ["ts is after the export's day"]
    assert max(door.house.lake.read("events", source="web")["ts"].to_pylist()) < datetime(2026, 7, 3, tzinfo=UTC)


def test_duplicate_events(door: Door) -> None:
    """An export in which everything stands twice gives the same rows as the export itself, and the count is told."""
    path = door.export("web")
    door.only("web")
    door.ingest()
    once = door.house.rows()
    events = pq.read_table(path)
    pq.write_table(pa.concat_tables([events, events]), path)
    said = door.ingest().json["days"]
    twice = door.house.rows()
    (told,) = (day["duplicates"] for day in said if (day["date"], day["table"]) == (str(DAY), "events"))
    assert told == events.num_rows
    assert {**twice, "loads": None} == {**once, "loads": None}


def test_content_that_is_in_no_catalogue(door: Door) -> None:
    """The operator is told of it, what people did is kept, and a list never holds it."""
    door.house.write_csv(
        "exports/log.csv",
        [
            {"ts": f"{DAY}T10:00:00Z", "visitor_id": f"stranger {i}", "content_id": "ghost", "event": "like"}
            for i in range(30)
        ],
    )
    text = door.house.file.read_text(encoding="utf-8")
    source = '[[sources]]\nname = "log"\nformat = "table"\ntable = "events"\npath = "exports/log.csv"\n\n[goals.click]'
    door.house.file.write_text(text.replace("[goals.click]", source), encoding="utf-8")
    (warning,) = door.ingest().json["warnings"]
    assert "30 events of 2026-07-01 are about 1 content ids that are in no catalogue, for example 'ghost'" in warning
    for step in ("features", "rank", "publish"):
        said = door.run(step, "--json")
        assert said.code == 0, said.err
    served = pq.read_table(door.house.lake.rankings / "current" / "people", columns=["person_id", "content_id"])
    assert pc.any(pc.equal(served["person_id"], "stranger 0")).as_py()
    assert not pc.any(pc.equal(served["content_id"], "ghost")).as_py()


# ---------------------------------------------------------------- around the files


def test_an_unknown_key_in_the_configuration(door: Door) -> None:
    """It stops every command before anything is touched, with exit code 2 and the nearest key."""
    before = door.house.served()
    good = door.house.file.read_text(encoding="utf-8")
    door.house.file.write_text(good.replace("late_days", "late_dais"), encoding="utf-8")
    for step in ("ingest", "features", "grade", "drift", "train", "rank", "publish"):
        said = door.run(step)
        assert (said.code, said.out) == (2, "")
        assert said.lacks(str(door.house.file), "unknown key `sources.0.late_dais`; did you mean `late_days`?") == []
    door.house.file.write_text(good, encoding="utf-8")
    assert door.house.served() == before


@contextmanager
def nobody(folder: Path) -> Iterator[None]:
    """Be somebody who owns `folder` but is not root, to whom every file permission is open."""
    if os.getuid() != 0:
        yield
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, 65534, 65534, follow_symlinks=False)
    os.setresgid(65534, 65534, 0)
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Take away the permission to write in `folder` and all below it."""
    below = [path for path in folder.rglob("*") if path.is_dir()]
    for path in (folder, *below):
        path.chmod(0o500)
    try:
        yield
    finally:
        for path in (folder, *below):
            path.chmod(0o700)


def test_a_lake_without_write_permission(door: Door) -> None:
    """The message has the folder and the remedy; with the permission given back the same command works."""
    with tempfile.TemporaryDirectory() as place:
        warm, there = (Door(House(Path(place) / name), door.capsys) for name in ("warm", "house"))
        for one in (warm, there):
            shutil.copytree(door.house.folder, one.house.folder, symlinks=True)
            one.only("web")
        warm.ingest()  # imports all that a load needs, while we may still read the interpreter's folder
        house = there.house
        with read_only(house.folder / "lake"), nobody(Path(place)):
            if not os.access(Path(__file__).parents[2] / "expectations" / "suites" / "events.json", os.R_OK):
                pytest.skip("only root can read this checkout, so nobody else can run it")
            there.check_refusal(
                f"{house.lake.staging}: rows cannot be staged there",
                "Permission denied",
                "give this user write permission (or free disk space",
            )
        there.ingest()


def test_no_disk_space_at_publish(door: Door) -> None:
    """Whichever write fills the disk, readers keep what they had, and with space the same command publishes."""
    text = door.house.file.read_text(encoding="utf-8")
    door.house.file.write_text(text.replace("k = 20", "k = 9"), encoding="utf-8")
    night = ("--config", door.house.file, "--as-of", "2026-07-01")
    assert shortlist(door.capsys, "rank", *night).code == 0
    before = door.house.served()
    for at, call in ((3, "make_folder"), (5, "write"), (15, "write"), (22, "write")):
        with faults.calls("full", at) as calls:
            said = shortlist(door.capsys, "publish", *night)
        assert (said.code, calls.made[at][0]) == (1, call)
        missing = said.lacks(str(door.house.lake.rankings), "No space left on device", "CURRENT names", "again")
        assert missing == [], said.err
        assert before.items() <= door.house.served().items()
    assert shortlist(door.capsys, "publish", *night).code == 0
    assert door.house.served() != before


def test_a_person_with_a_million_events(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One visitor, a robot perhaps, does more than all others together: the whole night passes, and all get a list."""
    house = House(tmp_path)
    million(house)
    for step in ("ingest", "features", "train", "drift", "rank", "publish"):
        said = shortlist(capsys, step, "--config", house.file, "--as-of", "2026-07-01", "--json")
        assert said.code == 0, said.err
        if step == "train":
            assert said.json["version"] == "1"
    served = pq.read_table(house.lake.rankings / "current" / "people", columns=["person_id", "content_id"])
    assert set(served["person_id"].to_pylist()) == {f"v{i}" for i in range(50)}


def million(house: House) -> None:
    """Eight days of events: a million by v0, forty each by 49 others."""
    draw = np.random.default_rng(5)
    who = np.concatenate([np.zeros(1_000_000, np.int64), np.repeat(np.arange(1, 50), 40)])
    start = int(datetime(2026, 6, 23, tzinfo=UTC).timestamp()) * 1_000_000
    events = {
        "ts": pa.array(start + draw.integers(0, 8 * 86_400_000_000, len(who))).cast(pa.timestamp("us", tz="UTC")),
        "visitor_id": pc.binary_join_element_wise("v", pa.array(who).cast(pa.string()), ""),
        "content_id": pa.array(draw.integers(0, 30, len(who))).cast(pa.string()),
        "event": pa.array(["view", "click"]).take(pa.array(draw.integers(0, 2, len(who)))),
    }
    pq.write_table(pa.table(events), house.folder / "log.parquet")
    house.configure(
        '[[sources]]\nname = "log"\nformat = "table"\ntable = "events"\npath = "log.parquet"\n'
        '[goals.click]\nevents = ["click"]\n'
        "[training]\ntrials = 1\nseconds = 5\nnights = 3\nwarm_up_days = 2\nmin_positives = 5\n"
    )
