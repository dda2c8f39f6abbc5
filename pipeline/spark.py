"""People measured on Spark, for a log that is too much for one machine: the same functions on the same rows.

The only module that imports pyspark, and only once it is asked for something. Spark reads the files of the lake, makes
a kernel's rows of them (`Timeline.rows`, a batch at a time), brings each shard's people together and measures them with
`features.kernel.kernel`, in processes of its own. Whatever order it does this in, the answer is the same bytes.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial, reduce
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from expectations import schemas
from expectations.schemas import TIMESTAMP
from features.kernel import kernel
from features.rows import SHARD
from features.spec import Spec
from pipeline import persons
from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.sections import Engine
from pipeline.shard_reader import Part
from pipeline.shards import shard_of
from pipeline.timeline import Timeline

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

_HOME = "home"
_COLUMNS: Mapping[str, Sequence[str]] = {"events": persons.EVENTS, "transactions": persons.TRANSACTIONS}
_AT_HOME = SHARD.append(pa.field(_HOME, pa.int32()))

_OURS = ("pipeline", "features")
"""Where errors of workers come from."""

_SQL = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "100000",
}
"""Of our own session, even where Spark's context is somebody else's."""

_CAUSES = (
    (r"<(\w+ at [\w.]+:\d+) while \w", "a worker met {}"),
    (r"No module named '(\w+)", "a worker cannot import {}; all of them need shortlist installed"),
    (r"PYTHON_VERSION_MISMATCH", "the workers have another Python; name the right one in PYSPARK_PYTHON"),
    (r"PATH_NOT_FOUND|FileNotFound", "a worker misses a file; all of them need the lake in the same place"),
    (r"OutOfMemoryError|exited unexpectedly|ExecutorLost", "a worker was lost, mostly for want of memory"),
    (r"Could not parse Master URL", "there is no such master"),
)
"""What an error's text tells without telling anybody's data."""


def measured(log: persons.Log, nights: Sequence[datetime], spec: Spec, folder: Path, engine: Engine) -> pa.Table:
    """What `persons.measured` says of a whole log, by shard, person and night.

    Work in progress lies in `folder`, which all of Spark's workers must see under the same path, like the lake.

    Raises:
        ConfigurationError: There is no pyspark, or no Java.
        ShortlistError: Spark failed.
    """
    about = kernel(SHARD.empty_table(), nights, spec).schema
    numbered = pa.schema([pa.field(f"c{at}", field.type) for at, field in enumerate(about)])
    answer = folder / "measured"
    with session(engine, folder) as spark:
        rows = _rows(spark, log)
        if rows is None:
            return about.empty_table()
        work = partial(_of_group, nights, spec, numbered.names)
        found = rows.groupBy(_HOME).applyInArrow(work, _struct(numbered))
        found.write.parquet(f"file://{answer}")
    return _in_order(pq.read_table(answer, partitioning=None).rename_columns(about.names).cast(about))


@contextmanager
def session(engine: Engine, folder: Path) -> Iterator[SparkSession]:
    """A session of our own: in the Spark that this process runs already, else in one that lasts as long as the session.

    Raises:
        ConfigurationError: There is no pyspark, or no Java.
        ShortlistError: Spark failed, at the start or at whatever was done with the session.
    """
    try:
        from py4j.protocol import Py4JError
        from pyspark import SparkContext
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ModuleNotFoundError:
        raise ConfigurationError(
            '[engine] kind = "spark" needs pyspark, which is not installed. Install it with '
            "`pip install 'shortlist[spark]'`, or set kind = \"local\"."
        ) from None
    running, stage = SparkContext._active_spark_context, "starting"
    try:
        context = running or _started(engine, folder)
        ours = SparkSession(context).newSession()
        for name, value in _SQL.items():
            ours.conf.set(name, value)
        stage = "measuring people"
        yield ours
    except (PySparkException, Py4JError, ConnectionError) as error:
        raise _told(error, stage, engine) from None  # what Spark says of it may hold values of rows
    finally:
        if running is None and (begun := SparkContext._active_spark_context) is not None:
            with suppress(Py4JError, ConnectionError):  # the process that ran Spark is gone, and took all with it
                begun.stop()


def _started(engine: Engine, folder: Path) -> SparkContext:
    from pyspark import SparkConf, SparkContext
    from pyspark.java_gateway import launch_gateway

    settings = {
        "spark.master": engine.master,
        "spark.app.name": "shortlist",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    if not engine.master.startswith("local"):
        return SparkContext(conf=SparkConf().setAll([*settings.items()]))
    settings |= {  # all of Spark is in one process here, so nobody else has to reach it
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.local.dir": str(folder / "spark"),
    }
    conf = SparkConf().setAll([*settings.items()])
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with _own_interrupts():
        context = SparkContext(conf=conf, gateway=None if SparkContext._gateway else launch_gateway(conf, quiet))
    context.pythonExec = sys.executable
    return context


@contextmanager
def _own_interrupts() -> Iterator[None]:
    """Ctrl-C goes on meaning what it meant: Spark would have it cancel jobs, even of a context that is long gone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


# ---------------------------------------------------------------- what Spark does


def _rows(spark: SparkSession, log: persons.Log) -> DataFrame | None:
    """A kernel's rows of everybody, each with its person's shard; None where there are no files."""
    tables = {"events": log.events, "transactions": log.transactions}
    shaped = [
        _read(spark, table, parts).mapInArrow(partial(_of_batches, log.timeline, table), _struct(_AT_HOME))
        for table, parts in tables.items()
        if parts
    ]
    return reduce(lambda one, other: one.union(other), shaped) if shaped else None


def _read(spark: SparkSession, table: str, parts: Sequence[Part]) -> DataFrame:
    """The columns of the table's files that a kernel's rows are made of; `source` and `day` are told by their place."""
    columns = _schema(table)
    place = parts[0].path.parents[2]  # of <source>/<day>/<file>
    files = spark.read.schema(_struct(columns)).option("basePath", f"file://{place}")
    return files.parquet(*(_literal(part.path) for part in parts)).select(*columns.names)


def _literal(file: Path) -> str:
    """The address of just this file: Spark looks for patterns in addresses, and percent signs stand for themselves."""
    return "file://" + re.sub(r"([\[\]{}*?\\])", r"\\\1", str(file))


def _schema(table: str) -> pa.Schema:
    return pa.schema([schemas.LAKE[table].schema.field(name) for name in _COLUMNS[table]])


def _struct(schema: pa.Schema) -> StructType:
    """As Spark calls it."""
    from pyspark.sql import types

    kinds = {
        pa.int32(): types.IntegerType(),
        pa.int64(): types.LongType(),
        pa.float64(): types.DoubleType(),
        pa.string(): types.StringType(),
        pa.date32(): types.DateType(),
        TIMESTAMP: types.TimestampType(),
    }
    return types.StructType([types.StructField(field.name, kinds[field.type]) for field in schema])


# ---------------------------------------------------------------- what its workers do


def _of_batches(timeline: Timeline, table: str, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Rows of one table of the lake as a kernel asks for them, with their person's shard."""
    nothing = {name: _schema(name).empty_table() for name in _COLUMNS}
    for batch in batches:
        with _discreet("making a kernel's rows"):
            found = {**nothing, table: pa.Table.from_batches([batch]).cast(_schema(table))}
            rows = timeline.rows(found["events"], found["transactions"]).cast(SHARD)
            homes = shard_of(rows["person_id"].to_numpy()).astype(np.int32)
            shaped = rows.append_column(_HOME, pa.array(homes)).combine_chunks().to_batches()
        yield from shaped


def _of_group(nights: Sequence[datetime], spec: Spec, names: Sequence[str], rows: pa.Table) -> pa.Table:
    """What the kernel says of all people of a shard."""
    with _discreet("measuring people"):
        return kernel(rows.select(SHARD.names).cast(SHARD), nights, spec).rename_columns(names)


@contextmanager
def _discreet(stage: str) -> Iterator[None]:
    """An error says what it is and where; what it quotes may be somebody's, and Spark writes it into logs."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - it goes on, without what it quotes
        ours = [frame for frame in extract_tb(error.__traceback__) if Path(frame.filename).parent.name in _OURS]
        place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"
        raise RuntimeError(f"<{type(error).__name__} at {place} while {stage}>") from None


# ---------------------------------------------------------------- and what comes of it


def _in_order(measured: pa.Table) -> pa.Table:
    """By shard, person and night."""
    person, night = (measured[name].cast(pa.int64()).to_numpy() for name in ("person_id", "night"))
    return measured.take(np.lexsort((night, person, shard_of(person))))


def _told(error: Exception, stage: str, engine: Engine) -> ShortlistError:
    """What went wrong, without anything that a row says."""
    text = str(error)
    if "JAVA_GATEWAY_EXITED" in text:
        return _without_java(engine)
    named = re.search(r"<\w+ at [\w.]+:\d+ while ([\w' ]+)>", text)
    return ShortlistError(
        f"Spark ({engine.master}) failed while {named[1] if named else stage}: {_cause(error, text)}. The logs of its "
        'executors say more; [engine] kind = "local" does without Spark (docs/guides/spark.md).'
    )


def _without_java(engine: Engine) -> ConfigurationError:
    home = os.environ.get("JAVA_HOME")
    java = shutil.which(f"{home}/bin/java" if home else "java")
    if java is None:
        return ConfigurationError(
            f'[engine] kind = "spark" needs Java 17 or newer, and there is none {"in JAVA_HOME" if home else "here"}. '
            "On Debian or Ubuntu: apt install openjdk-17-jre-headless"
        )
    return ConfigurationError(
        f"{java} did not start Spark: expected Java 17 or newer, and as [engine] master local[*], yarn, k8s://... or "
        f"spark://host:7077, found {engine.master!r}."
    )


def _cause(error: Exception, text: str) -> str:
    for pattern, cause in _CAUSES:
        if found := re.search(pattern, text):
            return cause.format(*found.groups())
    classes = re.findall(r"^(?:Caused by)?: ([\w.$]+)", text, re.MULTILINE)
    return classes[-1] if classes else type(error).__name__
