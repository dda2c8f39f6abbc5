"""The Delta tables, and the only module that builds a path under the lake and the state folder.

A (source, day) is the unit of change: replacing it is atomic, doing it twice changes nothing, and nothing is appended.
`identities` and `native_ids` live in the vault, which only its owner can enter.
"""

from __future__ import annotations

import json
import os
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from deltalake import DeltaTable, write_deltalake
from deltalake import Schema as DeltaSchema
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction, RemoveAction

from expectations import schemas
from pipeline import delta, scratch
from pipeline.config import Config
from pipeline.day_files import ORDER, PARTITIONS, DataFile, DayFiles
from pipeline.errors import ShortlistError
from pipeline.shard_reader import Part

WORD = pa.dictionary(pa.int32(), pa.string())
"""Text of a long log in memory: a year has few different words, and a number each is a fraction of the space."""

UNDATED = date(1970, 1, 1)
"""The `day` of a snapshot that carries no date of its own: it is valid for every night."""

PURGED = "_purged"
"""The source of the proof, in `loads`, that the lake as it is holds nothing of the people who are suppressed."""

NIGHT = "%Y-%m-%dT%H%M%SZ"
"""How a night is written in file names and partitions: UTC, sorted by name is sorted by time."""

NO_STATISTICS = {"delta.dataSkippingNumIndexedCols": "0"}
"""Least and greatest ids in the log would be personal data that no deletion reaches."""

_VAULT = ("identities", "native_ids")
_INSTANT = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class Lake:
    """Where everything of one project lies on disk."""

    root: Path
    published: Path
    state: Path

    @classmethod
    def of(cls, config: Config) -> Lake:
        """The lake, published tables and state of a configuration."""
        project = config.project
        return cls(config.folder(project.lake), config.folder(project.published), config.folder(project.state))

    @property
    def vault(self) -> Path:
        """What leads from a pseudonym back to a person; only its owner can enter."""
        return self.root / "vault"

    @property
    def staging(self) -> Path:
        """Work in progress of loads; on the file system of the tables, so that finished files need only be renamed."""
        return self.root / ".staging"

    @property
    def scratch(self) -> Path:
        """Work in progress of everything else; it holds pseudonyms, so it lies in the lake and goes with it."""
        return self.root / ".scratch"

    @property
    def checkpoints(self) -> Path:
        """What is kept of everybody at past nights, to go on from there; see `pipeline.checkpoints`."""
        return self.root / "checkpoints"

    @property
    def looks(self) -> Path:
        """What the drift check saw of some people on past nights; see `pipeline.looks`."""
        return self.root / "looks"

    @property
    def rankings(self) -> Path:
        """Every published snapshot, and `current`, which leads to the one that serves."""
        return self.published / "rankings"

    @property
    def exports(self) -> Path:
        """The snapshot that serves in other formats, a folder a format; see `pipeline.exports`."""
        return self.published / "exports"

    @property
    def receipts(self) -> Path:
        """What `shortlist forget` did, a file a time; they name nobody."""
        return self.state / "receipts"

    @property
    def ranked(self) -> Path:
        """Work in progress between `rank` and `publish`, a folder a night."""
        return self.state / "ranked"

    @property
    def refusals(self) -> Path:
        """Why exports were not let in, a file a (source, day); see `pipeline.refusals`."""
        return self.state / "refusals"

    @property
    def alerts(self) -> Path:
        """What is open and what is still to be told; see `pipeline.alert_state`."""
        return self.state / "alerts"

    @property
    def tracking(self) -> Path:
        """MLflow's database and the artifacts of its runs."""
        return self.state / "mlflow"

    @property
    def data_docs(self) -> Path:
        """Great Expectations' verdicts, and the Data Docs made of them."""
        return self.state / "great_expectations"

    @property
    def studies(self) -> Path:
        """Optuna's journals, a file a training."""
        return self.state / "optuna"

    @property
    def airflow(self) -> Path:
        """The homes of the Airflows that we start: databases, settings, logs."""
        return self.state / "airflow"

    def path(self, table: str) -> Path:
        """The folder of a table, whether it exists yet or not."""
        return (self.vault if table in _VAULT else self.root) / table

    def exists(self, table: str) -> bool:
        """Whether anything was ever written to the table."""
        return delta.opened(self.path(table)) is not None

    def version(self, table: str) -> int | None:
        """The table's Delta version, or None where nothing was ever written."""
        found = delta.opened(self.path(table))
        return found.version() if found else None

    def versions(self) -> dict[str, int]:
        """The version of every table of the lake that exists."""
        return {name: version for name in schemas.LAKE if (version := self.version(name)) is not None}

    def read(
        self,
        table: str,
        *,
        columns: Sequence[str] | None = None,
        source: str | None = None,
        since: date | None = None,
        until: date | None = None,
        days: Sequence[date] | None = None,
        words: Collection[str] = (),
    ) -> pa.Table:
        """Rows of the days `since` <= day <= `until` (or of exactly `days`), in no particular order.

        An absent table reads as an empty one. Undated snapshots lie outside every range but can be asked for. Columns
        of text that are among `words` come dictionary-encoded, as they lie in the files.
        """
        schema = schemas.LAKE[table].schema
        if columns is not None:
            schema = pa.schema([schema.field(name) for name in columns])
        schema = pa.schema([f.with_type(WORD) if f.name in words else f for f in schema])
        stored = delta.opened(self.path(table))
        if not stored or days == ():
            return schema.empty_table()
        filters: list[tuple[str, str, Any]] = []
        if source is not None:
            filters.append(("source", "=", source))
        if since is not None or until is not None:
            filters.append(("day", ">=", max(since or UNDATED, UNDATED + timedelta(days=1))))
        if until is not None:
            filters.append(("day", "<=", until))
        if days is not None:
            filters.append(("day", "in", list(days)))
        known = {field.name for field in stored.schema().fields}
        there = [name for name in schema.names if name in known]
        options = ds.ParquetReadOptions(dictionary_columns=set(words).intersection(there))
        dataset = stored.to_pyarrow_dataset(parquet_read_options=options)
        found = dataset.to_table(columns=there, filter=pq.filters_to_expression(filters) if filters else None)
        for field in (field for field in schema if field.name not in known):  # a table from before the column
            found = found.append_column(field, pa.nulls(found.num_rows, field.type))
        return found.select(schema.names).cast(schema)

    def days(self, table: str) -> set[tuple[str, date]]:
        """The (source, day) pairs that hold rows."""
        stored = delta.opened(self.path(table))
        partitions = stored.partitions() if stored else []
        return {(p["source"], date.fromisoformat(str(p["day"]))) for p in partitions}

    def parts(self, table: str) -> list[Part]:
        """The files of the table, each one source's and day's, by day and source."""
        if not (stored := delta.opened(self.path(table))):
            return []
        files = pa.table(stored.get_add_actions(flatten=True))
        rows = files.select(["path", "partition.source", "partition.day", "num_records"]).to_pylist()
        found = [
            Part(
                self.path(table) / unquote(row["path"]),
                row["partition.source"],
                date.fromisoformat(str(row["partition.day"])),
                row["num_records"],
            )
            for row in rows
        ]
        return sorted(found, key=lambda part: (part.day, part.source, part.path.name))

    def rows_by_day(self, table: str, source: str, since: date, until: date) -> dict[date, int]:
        """How many rows `source` brought for each day from `since` to `until`, from the table's log alone."""
        counts: Counter[date] = Counter()
        for part in self.parts(table):
            if part.source == source and since <= part.day <= until:
                counts[part.day] += part.rows
        return dict(counts)

    def replace_day(self, table: str, rows: pa.Table, source: str, day: date) -> None:
        """Put `rows` in the place of everything that `source` brought for `day`, in one commit."""
        if rows.num_rows or (source, day) in self.days(table):
            self._overwrite(table, rows, source, day)

    def replace_source(self, table: str, rows: pa.Table, source: str) -> None:
        """Put `rows` in the place of everything that `source` ever brought, in one commit."""
        if rows.num_rows or any(known == source for known, _ in self.days(table)):
            self._overwrite(table, rows, source, None)

    def _overwrite(self, table: str, rows: pa.Table, source: str, day: date | None) -> None:
        with self.open_for_writing(table), scratch.folder_in(self.staging) as folder:
            files = DayFiles(folder, table, source)
            files.add(rows.sort_by([(name, "ascending") for name in ("day", *ORDER[table])]))
            self.adopt(table, files.close(), source, day)

    def adopt(self, table: str, files: Sequence[DataFile], source: str, day: date | None) -> None:
        """Put finished files in the place of what `source` brought for `day` (None: ever), in one commit.

        Files lie in the table's folder before the commit names them: a crash in between leaves files that nothing
        refers to, which housekeeping removes. The log holds counts only: least and greatest ids would be personal data
        that no deletion reaches.

        Adoptions of one table wait for each other. Delta itself settles commits to different days, but two first
        commits to the same day remove nothing of each other's: both would stay, and every row would be there twice.
        """
        with self.changing(table) as adopt:
            adopt(files, source, day)

    @contextmanager
    def changing(self, table: str) -> Iterator[Callable[[Sequence[DataFile], str, date | None], None]]:
        """Nobody else adopts meanwhile: what is read of the table is its newest state. Yields what adopts in here."""
        with self.open_for_writing(table) as path, scratch.alone(Path(path)):
            yield partial(_commit, Path(path), table)

    def files(self, table: str, source: str | None = None, day: date | None = None) -> list[str]:
        """The files of the table, or of what `source` brought (for `day`)."""
        stored = delta.opened(self.path(table))
        return stored.file_uris(file_pruning_predicate=_partition(source, day) or None) if stored else []

    def replace_night(self, table: str, rows: pa.Table | Iterator[pa.Table], as_of: datetime) -> None:
        """Put `rows` in the place of the table's rows of the night `as_of`; columns may be added over time.

        Tables of one schema that come one after the other, at least one, are written as they come.
        """
        name = as_of.strftime(NIGHT)
        parts = iter([rows]) if isinstance(rows, pa.Table) else rows
        first = next(parts)
        schema = first.schema.append(pa.field("night", pa.string()))
        stamped = (
            batch.append_column("night", pa.array([name] * batch.num_rows, pa.string()))
            for part in chain([first], parts)
            for batch in part.to_batches()
        )
        with self.open_for_writing(table) as path:
            exists = DeltaTable.is_deltatable(path)
            write_deltalake(
                path,
                pa.RecordBatchReader.from_batches(schema, stamped),
                partition_by=["night"],
                mode="overwrite",
                predicate=f"night = '{name}'" if exists else None,
                schema_mode="merge" if exists else None,
                configuration=NO_STATISTICS,
            )

    def nights(self, table: str) -> list[datetime]:
        """The nights that a table of nights holds, ascending."""
        stored = delta.opened(self.path(table))
        names = {str(partition["night"]) for partition in (stored.partitions() if stored else [])}
        return sorted(datetime.strptime(name, NIGHT).replace(tzinfo=UTC) for name in names)

    def read_night(self, table: str, as_of: datetime, person: int | None = None) -> pa.Table:
        """The rows of one night, without the column `night`; or those of one person only."""
        filters: list[tuple[str, str, Any]] = [("night", "=", as_of.strftime(NIGHT))]
        if person is not None:
            filters.append(("person_id", "=", person))
        return DeltaTable(self.path(table)).to_pyarrow_table(filters=filters).drop_columns(["night"])

    def read_nights(self, table: str, nights: Collection[datetime]) -> pa.Table:
        """The rows of some nights, whose instants are the column `night`; an absent table reads as an empty one.

        A column that came later is null on the nights before.
        """
        stored = delta.opened(self.path(table))
        if not stored or not nights:
            return pa.table({"night": pa.array([], _INSTANT)})
        named = {night.strftime(NIGHT): night for night in nights}
        found = stored.to_pyarrow_table(filters=[("night", "in", list(named))])
        instants = pa.array([named[name] for name in found["night"].to_pylist()], _INSTANT)
        return found.set_column(found.schema.get_field_index("night"), "night", instants)

    @contextmanager
    def open_for_writing(self, table: str) -> Iterator[str]:
        """The folder of a table that may be written to; what then goes wrong says what to do about it."""
        path = self.path(table)
        try:
            path.mkdir(parents=True, exist_ok=True)
            if table in _VAULT:
                self.vault.chmod(0o700)
            if not os.access(path, os.W_OK):
                raise PermissionError(f"no write permission for {path}")
            yield str(path)
        except (OSError, DeltaError) as error:
            raise ShortlistError(
                f"lake: cannot write table {table!r} at {path}: {error}. Nothing was changed; "
                "give this user write permission (or free disk space) and run the same command again."
            ) from error

    def tables(self) -> list[str]:
        """The names of all tables that exist, those of nights among them."""
        logs = [log for place in (self.root, self.vault) for log in place.glob("*/_delta_log")]
        return sorted(log.parent.name for log in logs if DeltaTable.is_deltatable(str(log.parent)))


def _partition(source: str | None, day: date | None) -> list[tuple[str, str, Any]]:
    """As Delta's filters say it."""
    named = {"source": source, "day": day and day.isoformat()}
    return [(name, "=", value) for name, value in named.items() if value is not None]


def _commit(path: Path, table: str, files: Sequence[DataFile], source: str, day: date | None) -> None:
    """`Lake.adopt`, for who holds the table's lock."""
    schema = schemas.LAKE[table].schema
    added: list[AddAction | RemoveAction] = [_placed(path, file) for file in files]
    found = delta.opened(path) or _create(path, schema)
    known = {field.name for field in found.schema().fields}
    if new := [field for field in DeltaSchema.from_arrow(schema).fields if field.name not in known]:
        found.alter.add_columns(new)
    found.create_write_transaction(added, "overwrite", schema, list(PARTITIONS), _partition(source, day))
    delta.keep(path, found)


def _placed(table: Path, file: DataFile) -> AddAction:
    """Move a finished file to its partition, under a name that was never used."""
    name = f"source={file.source}/day={file.day}/{uuid.uuid4().hex}.parquet"
    target = table / name
    target.parent.mkdir(parents=True, exist_ok=True)
    file.path.rename(target)
    stat = target.stat()
    values = {"source": file.source, "day": file.day.isoformat()}
    stats = json.dumps({"numRecords": file.rows})
    return AddAction(name, stat.st_size, values, stat.st_mtime_ns // 1_000_000, True, stats)


def _create(path: Path, schema: pa.Schema) -> DeltaTable:
    """An empty table. Two loads that make it at the same moment make it once.

    Opening a table replays its log: a checkpoint every 10 commits keeps that short. No statistics of columns: see
    `Lake.adopt`.
    """
    return DeltaTable.create(
        path,
        schema=schema,
        partition_by=list(PARTITIONS),
        mode="ignore",
        configuration={"delta.checkpointInterval": "10", **NO_STATISTICS},
    )
