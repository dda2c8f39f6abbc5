"""People measured on Spark: the same bytes as by threads, and nothing of anybody in what Spark complains of."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable

from expectations.schemas import TIMESTAMP
from pipeline import build_features, persons, spark
from pipeline.config import Config
from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.lake import Lake
from pipeline.measuring import person_spec
from pipeline.sections import Engine
from tests.features.images import image
from tests.pipeline.lakes import FIRST, NIGHT, config_in, fortnight, table, tables, written

pytestmark = pytest.mark.skipif(
    shutil.which("java") is None and "JAVA_HOME" not in os.environ,
    reason="there is no Java on this machine, and Spark needs one (17 or newer)",
)

NIGHTS = [NIGHT + step * timedelta(hours=18) for step in range(9)]
ENGINE = Engine(kind="spark", master="local[2]")
INTERRUPTED = signal.getsignal(signal.SIGINT)


@pytest.fixture(scope="module", autouse=True)
def _spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The Spark that all these tests share: it takes seconds to start, and fewer if Java does not optimise much."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
        with spark.session(ENGINE, tmp_path_factory.mktemp("spark")):
            yield


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The fortnight's lake, where Spark could take the folder's name for a pattern and the shop's for a number."""
    config = config_in(tmp_path_factory.mktemp("spark") / "a [b]* 100%", training={"history_days": 365})
    found = fortnight()
    lines = found["transactions"]
    shop = pa.array(["007"] * lines.num_rows)
    written({**found, "transactions": lines.set_column(lines.schema.get_field_index("source"), "source", shop)}, config)
    return config


def by_both(nights: list[datetime], config: Config, folder: Path) -> tuple[pa.Table, pa.Table]:
    """What threads and what Spark say, by night and person."""
    log, spec = persons.Log.of(Lake.of(config), nights, config), person_spec(config)
    by_threads = persons.measured(log, nights, spec, folder / "threads", workers=2)
    by_spark = spark.measured(log, nights, spec, folder, ENGINE)
    return by_threads.sort_by(_ORDER), by_spark.sort_by(_ORDER)


_ORDER = [("night", "ascending"), ("person_id", "ascending")]


def test_spark_says_the_same_to_the_last_bit(config: Config, tmp_path: Path) -> None:
    """Of nights in which links are found, orders refunded and rows come late: the same rows."""
    by_threads, by_spark = by_both(NIGHTS, config, tmp_path)
    assert by_threads.num_rows > 200
    assert image(by_spark) == image(by_threads)


def test_one_huge_person_and_empty_shards(tmp_path: Path) -> None:
    """More rows of somebody than come in one batch, and one row of somebody else: 62 shards have nobody."""
    config = config_in(tmp_path)
    lake_of_one_huge_person(150_000, config)
    by_threads, by_spark = by_both(NIGHTS[:3], config, tmp_path)
    assert pc.max(by_threads["events_7d"]).as_py() > 100_000
    assert len(by_threads["person_id"].unique()) == 2
    assert image(by_spark) == image(by_threads)


def lake_of_one_huge_person(rows: int, config: Config) -> None:
    """Views every few seconds, each known a day late by its minute; and somebody who came once."""
    once = {"ts": FIRST, "content_id": "c", "dwell_seconds": 33.3}
    events = table("events", [{**once, "person": 1}, {**once, "person": 2}])
    at = np.minimum(np.arange(rows), 1)[::-1].copy()
    ts = int(FIRST.timestamp() * 1e6) + np.arange(rows) * 4_700_000
    columns: dict[str, Any] = {
        "event_id": pa.array(np.arange(rows)).cast(pa.string()),
        "ts": pa.array(ts).cast(TIMESTAMP),
        "available_at": pa.array(ts + ts % 86_400_000_000).cast(TIMESTAMP),
        "day": pa.array(ts).cast(TIMESTAMP).cast(pa.date32()),
    }
    many = events.take(pa.array(at))
    for name, column in columns.items():
        many = many.set_column(many.schema.get_field_index(name), name, column)
    written(tables() | {"events": many.cast(events.schema)}, config)


def test_a_lake_of_nobody_gives_an_empty_answer_with_all_columns(tmp_path: Path) -> None:
    """Counts of nobody in particular are no people."""
    config = config_in(tmp_path)
    written(tables(popularity=[{"ts": FIRST, "content_id": "c"}]), config)
    by_threads, by_spark = by_both([NIGHT], config, tmp_path)
    assert by_spark.num_rows == 0
    assert by_spark.schema == by_threads.schema


def test_nobody_known_yet_gives_an_empty_answer_too(config: Config, tmp_path: Path) -> None:
    """There are rows, and none that count."""
    by_threads, by_spark = by_both([FIRST - timedelta(days=1)], config, tmp_path)
    assert by_spark.num_rows == 0
    assert by_spark.schema == by_threads.schema


def test_the_features_of_a_night_are_the_same(tmp_path: Path) -> None:
    """`shortlist features`, by the setting alone."""
    config = config_in(tmp_path)
    lake = written(fortnight(), config)
    found = []
    for engine in (Engine(), ENGINE):
        build_features.run(NIGHT, config.model_copy(update={"engine": engine}))
        found.append(image(DeltaTable(lake.path("person_features")).to_pyarrow_table()))
    assert found[0] == found[1]


# ---------------------------------------------------------------- what can go wrong


def test_a_failed_job_says_where_and_what_but_not_whose(config: Config, tmp_path: Path) -> None:
    """Spark's own message would quote the worker's, and that the row."""
    log = persons.Log.of(Lake.of(config), NIGHTS, config)
    broken = replace(log, timeline=replace(log.timeline, starts=log.timeline.starts[:1]))
    with pytest.raises(ShortlistError) as failed:
        spark.measured(broken, NIGHTS, person_spec(config), tmp_path, ENGINE)
    assert "failed while making a kernel's rows: a worker met IndexError at timeline.py:" in str(failed.value)
    assert failed.value.__suppress_context__


def test_an_error_does_not_quote_what_it_is_about() -> None:
    """Spark would write it into its logs."""
    with pytest.raises(RuntimeError) as failed, spark._discreet("measuring people"):
        raise ValueError("person 17 has a row")
    assert "<ValueError at test_spark.py:" in str(failed.value)
    assert "17 has" not in str(failed.value)
    assert failed.value.__suppress_context__


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("ModuleNotFoundError: No module named 'features'", "a worker cannot import features"),
        ("Python worker exited unexpectedly (crashed)", "a worker was lost"),
        ("x\n: org.apache.spark.SparkException: person 17\nCaused by: java.io.IOException: 17", "java.io.IOException"),
        ("person 17", "RuntimeError"),
    ],
)
def test_a_cause_is_told_in_a_sentence(said: str, told: str) -> None:
    """What Spark says is long, and may hold anything."""
    message = str(spark._told(RuntimeError(said), "starting", ENGINE))
    assert message.startswith(f"Spark (local[2]) failed while starting: {told}")
    assert "17" not in message


def test_without_pyspark_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Most have no use for half a gigabyte of Spark."""
    monkeypatch.setitem(sys.modules, "pyspark", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'shortlist\[spark\]'"), spark.session(ENGINE, tmp_path):
        pass


def test_without_java_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spark's own message names neither."""
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    told = spark._told(RuntimeError("[JAVA_GATEWAY_EXITED] Java gateway process exited"), "starting", ENGINE)
    assert isinstance(told, ConfigurationError)
    assert "none in JAVA_HOME" in str(told)
    assert "openjdk-17" in str(told)


# ---------------------------------------------------------------- what it leaves alone


def test_nothing_listens_beyond_this_machine() -> None:
    """Spark's driver would, on the address of the first network it finds."""
    here = psutil.Process()
    addresses = {
        connection.laddr.ip.removeprefix("::ffff:")
        for process in (here, *here.children(recursive=True))
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert addresses == {"127.0.0.1"}


def test_ctrl_c_means_what_it_meant() -> None:
    """Spark takes it for itself when it starts."""
    assert signal.getsignal(signal.SIGINT) is INTERRUPTED
