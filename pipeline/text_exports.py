"""An export as CSV or JSON Lines: a folder a snapshot, of which there is one, and a pointer as snapshots have it.

csv/<snapshot>-<id>/people.csv segments.csv default.csv changes.csv export.json
csv/CURRENT csv/current         the folder's name; the same as a symbolic link
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from pipeline import disk, export_tables, pointer, text_rows
from pipeline.export_tables import RECORD, Origin, Tables


def write(place: Path, aside: Path, origin: Origin, form: text_rows.Form) -> bool:
    """Make `place` an export of this origin, and of nothing else; whether anything was written.

    The folder is written to `aside`, which is beside `place`, and renamed when all of it is on disk. What a dead
    process left is finished; a reader of an older export has its files gone when the new one serves.
    """
    folder = place / origin.name
    new = not folder.is_dir()
    if new:
        with origin.tables() as tables:
            _fill(aside, tables, origin, form)
        disk.make_folder(place)
        disk.sync_folder(place.parent)
        disk.rename(aside, folder)
        disk.sync_folder(place)
    if pointer.read(place) != origin.name:
        pointer.swing(place, origin.name)
    pointer.link(place, Path(origin.name))
    for old in sorted(place.iterdir()):
        if old.name not in (origin.name, pointer.FILE, pointer.LINK):
            disk.rename(old, aside)  # out of sight first, as a whole
            disk.remove(aside)
    disk.sync_folder(place)
    return new


def _fill(folder: Path, tables: Tables, origin: Origin, form: text_rows.Form) -> None:
    disk.make_folder(folder)
    described = {table: _table(folder / f"{table}.{form}", table, tables, form) for table in export_tables.TABLES}
    disk.write(folder / RECORD, lambda file: file.write(origin.record(described)))
    disk.sync_folder(folder)


def _table(path: Path, table: str, tables: Tables, form: text_rows.Form) -> dict[str, Any]:
    rows: list[int] = []
    disk.write(path, lambda file: rows.append(tables.write_text(table, form, file)))
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"file": path.name, "rows": rows[-1], "bytes": path.stat().st_size, "sha256": digest}
