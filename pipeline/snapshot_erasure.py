"""People out of published snapshots: each that has them gives way to one without them, whole, as it was published."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import manifest, snapshot
from pipeline.snapshot import Ranked

Theirs: TypeAlias = Callable[[pa.Table], pa.Array]
"""For each row of (`person_id`, `id_type`), whether it is about one of them (bool)."""

_PERSON = ["person_id", "id_type"]


def rewrite_without(root: Path, theirs: Theirs, cadence: str) -> tuple[str, ...]:
    """Put a snapshot without these people in the place of each that has any; returns the names of the removed ones.

    Readers see CURRENT name a whole snapshot at every moment; one who is still reading a removed one fails, as with
    `collect_garbage`. Whoever is interrupted does it again and gets the same snapshots.

    Raises:
        ShortlistError: A snapshot cannot be read, or not be written; CURRENT names a whole one.
    """
    if not root.is_dir():
        return ()
    snapshot.heal(root)
    having = [name for name in snapshot.snapshots(root) if _has(root / "snapshots" / name, theirs)]
    for name in having:
        _rewrite(root, name, theirs, cadence)
    return tuple(having)


def any_of(file: Path, theirs: Theirs) -> bool:
    """Whether a Parquet file of people has any of them."""
    rows = pq.read_table(file, columns=_PERSON).group_by(_PERSON).aggregate([])
    return bool(pc.any(theirs(rows)).as_py())


def _has(path: Path, theirs: Theirs) -> bool:
    return any(any_of(path / part, theirs) for part in manifest.parts(manifest.load(path), "people"))


def _rewrite(root: Path, name: str, theirs: Theirs, cadence: str) -> None:
    path = root / "snapshots" / name
    content = manifest.load(path)
    people, segments, default = (snapshot.table_of(path, table) for table in ("people", "segments", "default"))
    ranked = Ranked(people.filter(pc.invert(theirs(people.select(_PERSON)))), segments, default)
    as_of = datetime.fromisoformat(content["as_of"])
    staged = snapshot.stage(root, ranked, manifest.facts(content), as_of, cadence=cadence)
    snapshot.replace(root, name, staged)
