"""Publish one night: write the snapshot aside, audit it there, and only then let CURRENT name it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from pipeline import disk, exports, identify, query, snapshot, snapshot_names, stores, suppress, validate
from pipeline.audit import AuditReport, Check, Person, Terms, audit
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.lake import Lake
from pipeline.manifest import JSON
from pipeline.night import WHO, Archive
from pipeline.pseudonyms import Pseudonyms
from pipeline.query import Rows
from pipeline.ranked import ranked_files
from pipeline.report import Report
from pipeline.snapshot import Ranked, Staged
from pipeline.stores import Followed, OnFile

_MEMORY_MB = 512
"""What questions about a night's lists may hold of them; the rest waits on disk."""


@dataclass(frozen=True)
class PublishReport(Report):
    """What was published: the snapshot's name, whether it is new on disk, whether CURRENT names it, and its audit.

    `exports` are the formats in which what serves was written anew; `stores` are the object stores that followed.
    """

    name: str
    created: bool
    current: bool
    checks: tuple[Check, ...]
    exports: tuple[str, ...] = ()
    stores: tuple[Followed, ...] = ()


def run(as_of: datetime, config: Config, on_file: OnFile | None = None) -> PublishReport:
    """Publish what `rank` left for the night, here and then in the object stores, and export what serves then.

    Raises:
        ShortlistError: The night was not ranked, a check failed, or the disk is full or not ours; CURRENT is as it was.
            Or it is published here, and a store did not follow or an export failed: the message says so.
    """
    lake = Lake.of(config)
    ranked = Ranked(**ranked_files(lake, as_of))
    versions = _distinct(ranked.people, "model_version")["model_version"].to_pylist()
    facts: dict[str, JSON] = {
        "project": config.project.name,
        "configuration_sha256": config.sha256,
        "lake_versions": lake.versions(),
        "model_versions": versions,
    }
    terms = _terms(as_of, config, lake, _distinct(ranked.people, "person_id, id_type"))
    report = publish(lake.rankings, ranked, facts, as_of, terms, cadence=config.project.cadence)
    followed = stores.follow(config, on_file=on_file)
    return replace(report, exports=exports.update(config), stores=followed)


def _distinct(rows: Rows, columns: str) -> pa.Table:
    with query.connection(_MEMORY_MB) as con:
        return query.relation(con, rows).project(columns).distinct().order("ALL").to_arrow_table()


def _terms(as_of: datetime, config: Config, lake: Lake, listed: pa.Table) -> Terms:
    """What the snapshot is held to, from the lake and not from the ranking: who must have a list, and who must not."""
    archive = Archive.load(lake, config, as_of, config.training.history_days, columns=WHO)
    return Terms(
        k=config.ranking.k,
        expected_people=_people(identify.native_ids(lake, archive.rankable(as_of))),
        declared=lambda table, rows: _declared(table, rows, as_of, config, lake),
        suppressed=suppress.objecting(listed, archive.suppressed, Pseudonyms.of(config)),
        spread=config.ranking.diversity > 0,
    )


def _people(native: pa.Table) -> frozenset[Person]:
    return frozenset(zip(native["native_id"].to_pylist(), native["id_type"].to_pylist(), strict=True))


def _declared(table: str, rows: Rows, as_of: datetime, config: Config, lake: Lake) -> Iterator[Check]:
    """The table's own suite, as one check."""
    verdict = validate.check(
        table,
        rows,
        lake.data_docs,
        run=f"publish {as_of:%Y-%m-%d %H:%M}",
        day=as_of.date(),
        parameters={"k": config.ranking.k},
    )
    yield Check(
        f"{table}: suite of {verdict.expectations} expectations",
        verdict.success,
        "; ".join(verdict.failures) or "all met",
    )


def publish(
    root: Path,
    ranked: Ranked,
    facts: Mapping[str, JSON],
    as_of: datetime,
    terms: Terms,
    *,
    cadence: str = "1d",
    force_current: bool = False,
) -> PublishReport:
    """Stage, audit and commit one night's tables under `root`; see `snapshot.stage`, `audit.audit`, `snapshot.commit`.

    Raises:
        ShortlistError: The tables failed a check, or could not be written; CURRENT is where it was.
    """
    staged = snapshot.stage(root, ranked, facts, as_of, cadence=cadence)
    try:
        report = _audited(root, staged, as_of, terms)
        _require(report, staged)
    except Exception:
        snapshot.discard(staged)
        raise
    done = snapshot.commit(root, staged, force_current=force_current)
    return PublishReport(done.name, done.created, done.current, report.checks)


def _audited(root: Path, staged: Staged, as_of: datetime, terms: Terms) -> AuditReport:
    spill = staged.path / ".spill"
    with duckdb.connect(config={"temp_directory": str(spill), "memory_limit": f"{_MEMORY_MB}MiB"}) as connection:
        report = audit(staged.path, terms, connection, previous=snapshot_names.earlier(root, as_of))
    disk.remove(spill)
    return report


def _require(report: AuditReport, staged: Staged) -> None:
    if not report.passed:
        failures = "\n".join(f"  {check.name}: {check.detail}" for check in report.failures)
        raise ShortlistError(
            f"the tables for {staged.manifest['as_of']} failed {len(report.failures)} of {len(report.checks)} checks "
            f"and were not published; what was served before still is:\n{failures}\n"
            "Repair the ranking or its inputs and publish again; if this is as it should be, change the limit."
        )
