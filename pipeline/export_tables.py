"""What an export holds: the tables of one snapshot, and `changes` since an earlier one; and how it says so."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import changes, diff, manifest, query, snapshot, snapshot_names, text_rows

RECORD = "export.json"
"""Of which snapshot an export is, since which its `changes` are, and what there is to say of each table."""

TABLES = ("people", "segments", "default", "changes")
_VERSION = 1
"""Of the form of exports: another one has all of them written anew."""


@dataclass(frozen=True)
class Origin:
    """What decides every byte of an export: a snapshot, and the latest of an earlier instant, if there is one."""

    snapshot: Path
    since: Path | None

    @classmethod
    def serving(cls, rankings: Path) -> Origin:
        """With the snapshot that CURRENT names."""
        serves = snapshot.resolve(rankings)
        return cls(serves, snapshot_names.earlier(rankings, snapshot_names.night(serves.name)))

    @property
    def said(self) -> dict[str, Any]:
        """Both by name, as a record and a Delta commit have it."""
        return {"snapshot": self.snapshot.name, "since": self.since and self.since.name, "version": _VERSION}

    @property
    def name(self) -> str:
        """A folder's name for exports of this and of nothing else."""
        return f"{self.snapshot.name}-{hashlib.sha256(json.dumps(self.said).encode()).hexdigest()[:8]}"

    def record(self, tables: Mapping[str, Mapping[str, Any]]) -> bytes:
        """The bytes of `export.json`, with what there is to say of each table."""
        as_of = manifest.load(self.snapshot)["as_of"]
        return json.dumps({**self.said, "as_of": as_of, "tables": tables}, indent=1).encode() + b"\n"

    def recorded(self, path: Path) -> Mapping[str, Any] | None:
        """What the `export.json` at `path` says of each table; None if it is absent, not ours, or of another origin."""
        try:
            found = json.loads(path.read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        if not isinstance(found, dict) or {key: found.get(key) for key in self.said} != self.said:
            return None
        tables: Mapping[str, Any] = found["tables"]
        return tables

    @contextmanager
    def tables(self) -> Iterator[Tables]:
        """The tables, to be read while this lasts.

        Raises:
            ShortlistError: A snapshot cannot be read, or there is no room to compare two.
        """
        with diff.compared(self.since, self.snapshot) as con:
            yield Tables(self.snapshot, con)


@dataclass(frozen=True)
class Tables:
    """The tables of an export, each read a batch at a time."""

    snapshot: Path
    con: duckdb.DuckDBPyConnection

    def files(self, table: str) -> list[Path]:
        """The Parquet files of a table that the snapshot has itself."""
        return [self.snapshot / part for part in manifest.parts(manifest.load(self.snapshot), table)]

    def schema(self, table: str) -> pa.Schema:
        """The columns of a table."""
        return changes.schema_of(self.snapshot) if table == "changes" else pq.read_schema(self.files(table)[0])

    def write_text(self, table: str, form: text_rows.Form, file: IO[bytes]) -> int:
        """Write a table as text, sorted by its key; returns how many rows."""
        if table == "changes":
            return changes.write(self.con, self.snapshot, form, file)
        rows = f"FROM {query.parquet(self.files(table))}"  # sorted as they are
        return text_rows.write(self.con, rows, self.schema(table), form, file)
