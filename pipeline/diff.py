"""How the lists of people differ between two published snapshots, and why, as far as the tables say.

A list is what a person has: contents by rank, each with score, strategy and model version. DuckDB reads the Parquet
files and keeps a few hashes a person; what does not fit into memory goes to scratch space. Contents are named, people
never: a report ends up in logs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
from rich.console import Console
from rich.table import Column, Table

from pipeline import manifest, query, snapshot, snapshot_names
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.lake import Lake
from pipeline.report import Report
from pipeline.who import plain

TOP = 10
"""How many contents are named that came in, and that left."""

_PERSON = "person_id, id_type"


@dataclass(frozen=True)
class Moved:
    """A content, and in how many lists of people who are in both snapshots it is new, or is not any more."""

    content_id: str
    people: int


@dataclass(frozen=True)
class Changes:
    """The lists that differ: each is counted once among the first four, by the first that is true of it.

    `contents` holds other contents, `order` the same in another order, `scores` only other scores, `labels` only
    another strategy or model version. `strategy` and `model_version` count all lists of which that (also) changed.
    """

    contents: int
    order: int
    scores: int
    labels: int
    strategy: int
    model_version: int

    @property
    def lists(self) -> int:
        """How many differ."""
        return self.contents + self.order + self.scores + self.labels


@dataclass(frozen=True)
class DiffReport(Report):
    """From the snapshot `old` to `new`: whose lists changed, came, went or stayed the same.

    `overlap` is the mean, over people in both, of the share of contents that their two lists have in common within the
    first `k` ranks, as a part of the longer one; null where nobody is in both.
    """

    old: str
    new: str
    k: int
    people_before: int
    people_now: int
    came: int
    gone: int
    same: int
    changed: int
    changes: Changes
    overlap: float | None
    came_in: tuple[Moved, ...]
    left: tuple[Moved, ...]


def run(config: Config, old: str | None = None, new: str | None = None) -> DiffReport:
    """Compare two snapshots by their names or beginnings: without `new` with CURRENT, without both the one before it.

    Raises:
        ShortlistError: There are no such snapshots, or their files cannot be read.
    """
    root = Lake.of(config).rankings
    now = snapshot_names.meant(root, new) if new is not None else snapshot.resolve(root).name
    then = snapshot_names.meant(root, old) if old is not None else snapshot_names.before(root, now)
    return diff(snapshot_names.path_of(root, then), snapshot_names.path_of(root, now))


def diff(old: Path, new: Path, memory_mb: int = 1024) -> DiffReport:
    """Compare the people's lists of two snapshots, in at most this much memory."""
    k = min(int(manifest.load(path)["k"]) for path in (old, new))
    with compared(old, new, memory_mb) as con:
        return _report(con, old.name, new.name, k)


@contextmanager
def compared(old: Path | None, new: Path, memory_mb: int = 1024) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with the people of two snapshots as `old` (nobody, without one) and `new`, and how their lists differ.

    `compared` has a row a person: `person_id`, `id_type`, the length of the `longer` list, whether `strategy` and
    `model_version` changed, and `how`: came, gone, contents, order, scores, labels or same (see `Changes`).

    Raises:
        ShortlistError: What is asked of it cannot be answered: files cannot be read, or there is no room to work in.
    """
    named = f"{old.name} and {new.name} could not be compared" if old else f"{new.name} could not be read"
    try:
        with query.connection(memory_mb) as con:
            con.execute(f"CREATE VIEW new AS FROM {_people_of(new)}")
            con.execute(f"CREATE VIEW old AS FROM {_people_of(old)}" if old else "CREATE VIEW old AS FROM new LIMIT 0")
            con.execute(_COMPARED)
            yield con
    except duckdb.Error as error:
        raise ShortlistError(
            f"{named}: {str(error).splitlines()[0]}. "
            "`shortlist verify` says whether they are whole; else free disk space where temporary files go ($TMPDIR)."
        ) from error


def _people_of(path: Path) -> str:
    return query.parquet([path / part for part in manifest.parts(manifest.load(path), "people")])


def _lists(table: str) -> str:
    """A row a person, with a hash of each thing that can differ.

    Rank and value are hashed as one text: combined by XOR, as DuckDB combines two, swapped ranks would cancel out.
    """
    parts = {"ranks": "content_id", "scores": "score", "strategy": "strategy", "model_version": "model_version"}
    hashes = ", ".join(f"bit_xor(hash(rank || ' ' || {column})) AS {name}" for name, column in parts.items())
    return f"""
        SELECT {_PERSON}, count(*) AS length, bit_xor(hash(content_id)) AS contents, {hashes}
        FROM {table} GROUP BY {_PERSON}"""


_COMPARED = f"""
    CREATE TEMP TABLE compared AS
    SELECT {_PERSON},
           CASE WHEN old.length IS NULL THEN 'came' WHEN new.length IS NULL THEN 'gone'
                WHEN old.length <> new.length OR old.contents <> new.contents THEN 'contents'
                WHEN old.ranks <> new.ranks THEN 'order'
                WHEN old.scores <> new.scores THEN 'scores'
                WHEN old.strategy <> new.strategy OR old.model_version <> new.model_version THEN 'labels'
                ELSE 'same' END AS how,
           old.strategy <> new.strategy AS strategy,
           old.model_version <> new.model_version AS model_version,
           greatest(old.length, new.length) AS longer
    FROM ({_lists("old")}) AS old FULL JOIN ({_lists("new")}) AS new USING ({_PERSON})"""


def _report(con: duckdb.DuckDBPyConnection, old: str, new: str, k: int) -> DiffReport:
    how, changes = _counts(con)
    both = how.get("same", 0) + changes.lists
    return DiffReport(
        old=old,
        new=new,
        k=k,
        people_before=both + how.get("gone", 0),
        people_now=both + how.get("came", 0),
        came=how.get("came", 0),
        gone=how.get("gone", 0),
        same=how.get("same", 0),
        changed=changes.lists,
        changes=changes,
        overlap=(both - changes.contents + _shared(con, k)) / both if both else None,
        came_in=_moved(con, "new", "old"),
        left=_moved(con, "old", "new"),
    )


def _counts(con: duckdb.DuckDBPyConnection) -> tuple[dict[str, int], Changes]:
    found = con.execute(
        "SELECT how, count(*), count(*) FILTER (strategy), count(*) FILTER (model_version) FROM compared GROUP BY how"
    ).fetchall()
    how = {name: count for name, count, _, _ in found}
    kinds = {name: how.get(name, 0) for name in ("contents", "order", "scores", "labels")}
    return how, Changes(**kinds, strategy=sum(row[2] for row in found), model_version=sum(row[3] for row in found))


def _shared(con: duckdb.DuckDBPyConnection, k: int) -> float:
    """The sum, over lists with other contents, of the share that they keep; of all other lists that share is 1."""
    found = con.execute(
        f"""
        SELECT longer, shared, count(*) FROM (
            SELECT least({k}, longer) AS longer, count(*) AS shared
            FROM (FROM compared WHERE how = 'contents')
            JOIN (SELECT {_PERSON}, content_id FROM old WHERE rank <= {k}) USING ({_PERSON})
            JOIN (SELECT {_PERSON}, content_id FROM new WHERE rank <= {k}) USING ({_PERSON}, content_id)
            GROUP BY {_PERSON}, longer
        ) GROUP BY ALL ORDER BY ALL
        """
    ).fetchall()
    return float(sum(shared / longer * people for longer, shared, people in found))


def _moved(con: duckdb.DuckDBPyConnection, having: str, lacking: str) -> tuple[Moved, ...]:
    found = con.execute(
        f"""
        SELECT content_id, count(*) AS people
        FROM {having} SEMI JOIN (FROM compared WHERE how = 'contents') USING ({_PERSON})
        ANTI JOIN {lacking} USING ({_PERSON}, content_id)
        GROUP BY content_id ORDER BY people DESC, content_id LIMIT {TOP}
        """
    ).fetchall()
    return tuple(Moved(content, people) for content, people in found)


def draw(report: DiffReport, out: Console) -> None:
    """What changed, why, and the contents that moved most. Ids of contents come from outside: they are no markup."""
    out.print(f"{report.old}\n  to {report.new}", style="bold", markup=False)
    out.print(_people(report))
    if report.overlap is not None:
        out.print(f"mean overlap within the first {report.k} ranks: {report.overlap:.1%}")
    for title, moved in (("contents that came into most lists", report.came_in), ("that left most", report.left)):
        if moved:
            out.print(_contents(title, moved))


def _people(report: DiffReport) -> Table:
    both, changes = report.same + report.changed, report.changes
    table = Table("people", Column("", justify="right"), Column("of those in both", justify="right"))
    for label, count in (
        ("in both", both),
        ("  the same list", report.same),
        ("  changed", report.changed),
        ("    other contents", changes.contents),
        ("    only the order", changes.order),
        ("    only scores", changes.scores),
        ("    only strategy or model version", changes.labels),
        ("  changed, and so did the strategy", changes.strategy),
        ("  changed, and so did the model version", changes.model_version),
    ):
        table.add_row(label, f"{count:,}", f"{count / both:.1%}" if both else "")
    table.add_row("new", f"{report.came:,}")
    table.add_row("gone", f"{report.gone:,}")
    return table


def _contents(title: str, moved: tuple[Moved, ...]) -> Table:
    table = Table("content", "lists", title=title, title_justify="left")
    for one in moved:
        table.add_row(plain(one.content_id), f"{one.people:,}")
    return table
