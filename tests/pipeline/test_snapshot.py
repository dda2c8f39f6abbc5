"""Snapshots on disk: whole, immutable, deterministic, and never lost to a crash."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import disk, manifest, parts, snapshot, snapshot_names
from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.snapshot import Ranked
from tests.examples import examples
from tests.pipeline.faults import leftovers
from tests.pipeline.nights import FIRST, FORMS, as_of, changed, facts, is_whole, publish, ranked


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder that does not exist yet, nor does the one around it."""
    return tmp_path / "published" / "rankings"


def staged_name(root: Path, tables: Ranked, instant: datetime = FIRST, **others: Any) -> str:
    """The name under which these tables would be published."""
    staged = snapshot.stage(root, tables, facts(**others), instant)
    snapshot.discard(staged)
    assert leftovers(root) == []
    return staged.name


class TestPublishing:
    """What publishing promises its readers."""

    def test_what_was_published_is_read_back(self, root: Path) -> None:
        """A reader gets exactly the rows that were ranked, sorted by person and rank."""
        tables = ranked(people=5)
        reverse = np.arange(tables.people.num_rows)[::-1]
        shuffled = Ranked(tables.people.take(reverse), tables.segments, tables.default)
        snapshot.commit(root, snapshot.stage(root, shuffled, facts(), as_of(0)))
        assert snapshot.read(root, "people").equals(tables.people)
        assert snapshot.read(root, "segments").equals(tables.segments)
        assert snapshot.read(root, "default").equals(tables.default)

    def test_pandas_reads_the_link(self, root: Path) -> None:
        """A consumer without any library of ours reads `current/people` as one table."""
        publish(root)
        frame = pd.read_parquet(root / "current" / "people")
        assert frame[["person_id", "rank"]].to_numpy().tolist()[:2] == [["p000", 1], ["p000", 2]]
        assert len(frame) == 12

    def test_the_pointer_is_one_line(self, root: Path) -> None:
        """CURRENT holds the snapshot's name, which begins with the instant, and a newline."""
        done = publish(root)
        assert (root / "CURRENT").read_text() == f"{done.name}\n"
        assert done.name.startswith("2026-11-01T000000Z-")
        assert snapshot.resolve(root) == root / "snapshots" / done.name
        assert (root / "current").readlink() == Path(f"snapshots/{done.name}")

    def test_the_manifest_says_what_is_there(self, root: Path) -> None:
        """The manifest counts people and strategies, lists every file, and keeps the facts that it was given."""
        publish(root)
        claims = manifest.load(snapshot.resolve(root))
        assert (claims["people"], claims["k"], claims["counts_by_strategy"]) == (3, 4, {"model": 3})
        assert claims["lake_versions"] == {"events": 3}
        assert {file["path"]: file["rows"] for file in claims["files"]} == {
            "contract.yaml": None,
            "people/part-00000.parquet": 12,
            "segments/part-00000.parquet": 4,
            "default/part-00000.parquet": 4,
        }
        assert {"name": "as_of", "type": "timestamp[us, tz=UTC]"} in claims["schema"]["people"]

    def test_the_same_night_twice_changes_nothing(self, root: Path) -> None:
        """Publishing identical content again is a no-op with the same name, and leaves no trace."""
        first = publish(root)
        before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.name != ".lock"}
        again = publish(root)
        assert (first.created, again.created, again.current) == (True, False, True)
        assert again.name == first.name
        after = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.name != ".lock"}
        assert {p: t for p, t in after.items() if p != root} == {p: t for p, t in before.items() if p != root}

    def test_another_content_for_the_same_night_is_another_snapshot(self, root: Path) -> None:
        """A night published again with other rows gets a new name and serves; the old snapshot stays as it was."""
        old, new = publish(root, variant=0), publish(root, variant=1)
        assert old.name != new.name
        assert snapshot.resolve(root).name == new.name
        assert is_whole(root / "snapshots" / old.name)

    def test_another_fact_is_another_snapshot(self, root: Path, tmp_path: Path) -> None:
        """The same rows made from another lake version are told apart by name."""
        names = {staged_name(root, ranked(), lake_versions={"events": version}) for version in (3, 4)}
        assert len(names) == 2

    def test_an_older_night_does_not_take_over(self, root: Path) -> None:
        """Publishing a past night keeps CURRENT where it is and says so; forcing it does move CURRENT."""
        new, old = publish(root, night=5), publish(root, night=2)
        assert (old.created, old.current) == (True, False)
        assert snapshot.resolve(root).name == new.name
        forced = publish(root, night=2, force=True)
        assert (forced.created, forced.current) == (False, True)
        assert snapshot.resolve(root).name == old.name
        assert (root / "current").readlink() == Path(f"snapshots/{old.name}")

    def test_any_cutting_of_the_rows_gives_the_same_name(self, root: Path) -> None:
        """Chunks, dictionary encoding and the place of a column in the input do not show in the bytes."""
        tables = ranked(people=4)
        pieces = pa.concat_tables([tables.people.slice(n, 1) for n in range(tables.people.num_rows)])
        loose = pieces.drop(["strategy"]).append_column("strategy", pieces["strategy"].dictionary_encode())
        names = {
            staged_name(root, Ranked(people, tables.segments, tables.default))
            for people in (tables.people, pieces, loose)
        }
        assert len(names) == 1

    @settings(max_examples=examples(15), suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(order=st.permutations(range(12)), per_part=st.sampled_from([1, 5, 12, 100]))
    def test_any_order_gives_the_same_parts(self, tmp_path_factory, order, per_part) -> None:  # type: ignore[no-untyped-def]
        """Row order never shows; parts hold exactly the rows they may, in order, and together all of them."""
        folder = tmp_path_factory.mktemp("parts")
        tables = {"people": ranked().people.take(pa.array(order))}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(parts, "ROWS_PER_PART", per_part)
            parts.write(folder, tables, FORMS)
        files = sorted((folder / "people").iterdir())
        found = [pq.read_table(file) for file in files]
        assert [table.num_rows for table in found] == [per_part] * (12 // per_part) + [12 % per_part] * (
            12 % per_part > 0
        )
        assert pa.concat_tables(found).equals(ranked().people)

    def test_any_cutting_by_the_sorter_gives_the_same_pages(self, tmp_path: Path) -> None:
        """However many pieces DuckDB's threads hand over, the file's pages are the same, byte by byte."""
        rows = pa.table({"rank": pa.array(range(20_000), pa.int32())})
        written = set()
        for pieces in (20_000, 777):
            (part,) = parts.cut(rows.to_batches(max_chunksize=pieces), rows.schema, parts.ROWS_PER_PART)
            pq.write_table(part, tmp_path / f"{pieces}.parquet", data_page_size=1000)
            written.add((tmp_path / f"{pieces}.parquet").read_bytes())
        assert len(written) == 1

    def test_local_midnights_are_named_in_utc(self, root: Path) -> None:
        """The instant in the name is UTC, so that names sort by time whatever the project's time zone."""
        berlin = datetime(2026, 11, 2, tzinfo=timezone(timedelta(hours=1)))
        assert staged_name(root, ranked(), berlin).startswith("2026-11-01T230000Z-")

    def test_the_snapshot_before_is_strictly_earlier(self, root: Path) -> None:
        """A night is compared with the latest earlier one, never with itself or a later one."""
        first, second = publish(root, night=1), publish(root, night=3)
        assert snapshot_names.earlier(root, as_of(1)) is None
        assert snapshot_names.earlier(root, as_of(3)) == root / "snapshots" / first.name
        assert snapshot_names.earlier(root, as_of(4)) == root / "snapshots" / second.name


class TestRefusals:
    """What is refused, and what the message says."""

    def test_nothing_published(self, root: Path) -> None:
        """Reading before anything was published says so."""
        with pytest.raises(ShortlistError, match="nothing has been published"):
            snapshot.resolve(root)

    def test_current_without_its_snapshot(self, root: Path) -> None:
        """A pointer to a snapshot that someone deleted is named, with what is there."""
        old, new = publish(root, night=0), publish(root, night=1)
        shutil.rmtree(root / "snapshots" / new.name)
        with pytest.raises(ShortlistError, match=rf"{new.name}, which is not there \(found: {old.name}\)"):
            snapshot.resolve(root)

    @pytest.mark.parametrize("text", ["", "../../etc\n", "2026-11-01T000000Z-0a1b2c3d\nmore\n", "2026-11-01\n"])
    def test_current_that_is_no_name(self, root: Path, text: str) -> None:
        """A pointer that holds anything but a snapshot's name leads nowhere, least of all out of the folder."""
        publish(root)
        (root / "CURRENT").write_text(text)
        with pytest.raises(ShortlistError, match="no snapshot's name"):
            snapshot.resolve(root)

    @pytest.mark.parametrize(
        ("others", "complaint"),
        [
            ({"people": 3}, "people would overwrite"),
            ({"ratio": float("nan")}, "not JSON"),
            ({"when": as_of(0)}, "not JSON"),
        ],
    )
    def test_unfit_facts(self, root: Path, others: dict[str, object], complaint: str) -> None:
        """A fact that would hide a computed one, or that JSON cannot hold, is refused and nothing is left behind."""
        with pytest.raises(ShortlistError, match=complaint):
            snapshot.stage(root, ranked(), facts(**others), as_of(0))
        assert leftovers(root) == []

    def test_missing_facts(self, root: Path) -> None:
        """A manifest without the model's version cannot be written."""
        with pytest.raises(ShortlistError, match="lack configuration_sha256, model_versions"):
            snapshot.stage(root, ranked(), {"lake_versions": {}}, as_of(0))

    @pytest.mark.parametrize("moment", [datetime(2026, 11, 1), datetime(2026, 11, 1, 0, 0, 0, 5, tzinfo=UTC)])
    def test_an_instant_that_a_name_cannot_hold(self, root: Path, moment: datetime) -> None:
        """An as_of without a time zone, or between two seconds, is refused."""
        with pytest.raises(ShortlistError, match="whole second with a time zone"):
            snapshot.stage(root, ranked(), facts(), moment)

    def test_a_required_null(self, root: Path) -> None:
        """A null where the contract promises a value is refused by column."""
        loose = ranked().people.cast(pa.schema([f.with_nullable(True) for f in FORMS["people"].schema]))
        tables = Ranked(loose, ranked().segments, ranked().default)
        with pytest.raises(ShortlistError, match=r"people\.reason is required, but 1 of 12 rows"):
            snapshot.stage(root, changed(tables, "people", "reason", {2: None}), facts(), as_of(0))

    def test_another_column(self, root: Path) -> None:
        """A column that the contract does not know, and one that it misses, are both named."""
        tables = ranked()
        people = tables.people.rename_columns(["user_id", *tables.people.column_names[1:]])
        with pytest.raises(ShortlistError, match=r"missing: person_id; unknown: user_id"):
            snapshot.stage(root, Ranked(people, tables.segments, tables.default), facts(), as_of(0))


class TestVerifying:
    """What `verify` finds."""

    @pytest.fixture
    def path(self, root: Path) -> Path:
        """A published snapshot, to be damaged."""
        publish(root)
        return snapshot.resolve(root)

    def test_a_whole_snapshot_has_no_problems(self, path: Path) -> None:
        """What was just published verifies."""
        assert snapshot.verify(path) == []

    def test_one_flipped_byte(self, path: Path) -> None:
        """A file of the same size with one other byte is found by its sha256."""
        file = path / "people" / "part-00000.parquet"
        content = bytearray(file.read_bytes())
        content[40] ^= 1
        file.write_bytes(content)
        assert [problem.split(":")[0] for problem in snapshot.verify(path)] == ["people/part-00000.parquet"]
        assert "sha256" in snapshot.verify(path)[0]

    def test_a_truncated_file(self, path: Path) -> None:
        """A file that is no Parquet any more is a finding, not a crash."""
        (path / "default" / "part-00000.parquet").write_bytes(b"PAR1")
        assert "default/part-00000.parquet: cannot be read" in snapshot.verify(path)[0]

    def test_missing_and_added_files(self, path: Path) -> None:
        """A file that went and a file that came are both named."""
        (path / "segments" / "part-00000.parquet").rename(path / "segments" / "part-00001.parquet")
        assert snapshot.verify(path) == [
            "segments/part-00000.parquet: missing",
            "segments/part-00001.parquet: not in the manifest",
        ]

    def test_a_rewritten_manifest(self, path: Path) -> None:
        """A manifest edited afterwards no longer fits the snapshot's name."""
        text = (path / "manifest.json").read_text()
        (path / "manifest.json").write_text(text.replace("ranker/7", "ranker/9"))
        assert snapshot.verify(path) == [
            "manifest.json: does not fit its own name; it was changed after it was published"
        ]

    def test_a_missing_manifest(self, path: Path) -> None:
        """Without a manifest there is no snapshot."""
        (path / "manifest.json").unlink()
        assert "manifest.json cannot be read" in snapshot.verify(path)[0]

    def test_publishing_over_a_damaged_snapshot(self, root: Path, path: Path) -> None:
        """A no-op must not vouch for damaged files: the same night again is refused and says which folder."""
        (path / "contract.yaml").write_text("changed")
        with pytest.raises(ShortlistError, match=r"already there, but not as it was published \(contract.yaml"):
            publish(root)
        assert leftovers(root) == []


class TestHousekeeping:
    """Locks, leftovers and old snapshots."""

    def test_the_latest_and_the_current_stay(self, root: Path) -> None:
        """Garbage collection keeps the latest snapshots and never the one that serves is removed."""
        names = [publish(root, night).name for night in range(5)]
        publish(root, night=1, force=True)
        assert snapshot.collect_garbage(root, keep=2) == (names[0], names[2])
        assert snapshot.snapshots(root) == (names[1], names[3], names[4])
        assert is_whole(snapshot.resolve(root))
        assert leftovers(root) == []

    def test_what_was_published_lately_stays(self, root: Path) -> None:
        """However many have followed: a re-published past night counts by when it was published, not by its name."""
        old, recent, *_ = [publish(root, night).name for night in range(4)]
        published = {old: FIRST - timedelta(seconds=1), recent: FIRST + timedelta(seconds=1)}
        for name, moment in published.items():
            os.utime(root / "snapshots" / name, (moment.timestamp(), moment.timestamp()))
        assert snapshot.collect_garbage(root, keep=1, since=FIRST) == (old,)
        os.utime(root / "snapshots" / recent, (FIRST.timestamp(), FIRST.timestamp()))
        assert recent in snapshot.collect_garbage(root, keep=1, since=FIRST)

    def test_keeping_none_is_refused(self, root: Path) -> None:
        """`keep = 0` is a mistake, not a wish."""
        with pytest.raises(ConfigurationError, match="1 or more"):
            snapshot.collect_garbage(root, keep=0)

    def test_healing_spares_the_living(self, root: Path) -> None:
        """Healing removes what a dead run left, and nothing of a run that is still writing."""
        publish(root)
        alive = snapshot.stage(root, ranked(1), facts(), as_of(1))
        (root / ".staging-dead").mkdir()
        (root / ".staging-dead" / "manifest.json").write_text("{}")
        (root / ".CURRENT.new").write_text("half")
        assert snapshot.heal(root) == (".staging-dead", ".CURRENT.new")
        assert snapshot.commit(root, alive).current
        assert leftovers(root) == []

    def test_healing_repairs_the_link(self, root: Path) -> None:
        """A crash between swinging CURRENT and the link is mended."""
        old, new = publish(root, 0), publish(root, 1)
        (root / "current").unlink()
        (root / "current").symlink_to(f"snapshots/{old.name}")
        snapshot.heal(root)
        assert (root / "current").readlink() == Path(f"snapshots/{new.name}")

    def test_a_busy_lock_is_explained(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A second publisher waits, then gives up with a message, leaving nothing behind."""
        publish(root)
        staged = snapshot.stage(root, ranked(1), facts(), as_of(1))
        monkeypatch.setattr(snapshot, "PATIENCE_SECONDS", 0.1)
        with disk.locked(root / ".lock", 1.0), pytest.raises(ShortlistError, match=r"held this lock for 0\.1 s"):
            snapshot.commit(root, staged)
        assert leftovers(root) == []

    def test_a_file_system_without_links(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where symbolic links do not exist CURRENT alone is published, without complaint."""

        def refuse(target: Path, path: Path) -> None:
            raise PermissionError(1, "Operation not permitted", str(path))

        monkeypatch.setattr(disk, "link", refuse)
        assert publish(root).current
        assert not (root / "current").is_symlink()
        assert is_whole(snapshot.resolve(root))
