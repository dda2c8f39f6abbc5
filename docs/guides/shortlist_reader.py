"""Read Shortlist's published tables without Shortlist: one file to copy, which needs pyarrow and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds


class Snapshot:
    """What CURRENT named when this was made; it never changes. Make another one to see what was published since."""

    def __init__(self, rankings: str | Path) -> None:
        root = Path(rankings)
        self.path = root / "snapshots" / (root / "CURRENT").read_text(encoding="utf-8").strip()
        self.manifest: dict[str, Any] = json.loads((self.path / "manifest.json").read_text(encoding="utf-8"))

    def rows(self, table: str, columns: list[str] | None = None, **equal: str) -> pa.Table:
        """Rows of `people`, `segments` or `default`; of those, where asked, the ones with these values."""
        paths = (file["path"] for file in self.manifest["files"])
        files = [str(self.path / path) for path in paths if path.startswith(f"{table}/")]
        wanted = pc.scalar(True)
        for name, value in equal.items():
            wanted &= ds.field(name) == value
        return ds.dataset(files, format="parquet").to_table(columns=columns, filter=wanted)

    def contents(self, person_id: str, id_type: str = "customer", segment: str = "") -> list[str]:
        """Best first: the person's own list, else their segment's, else the one for anyone."""
        asked = (("people", {"person_id": person_id, "id_type": id_type}), ("segments", {"segment": segment}))
        found = [self.rows(table, ["rank", "content_id"], **equal) for table, equal in (*asked, ("default", {}))]
        first = next(rows for rows in found if rows.num_rows)
        return [str(content) for content in first.sort_by("rank")["content_id"].to_pylist()]
