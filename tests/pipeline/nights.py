"""Small, whole published tables for tests: `people(…)` persons with `k` contents each, in one of several variants."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from expectations import schemas
from pipeline import manifest, snapshot
from pipeline.audit import Check, Terms
from pipeline.snapshot import Committed, Ranked

GOALS = ("click", "read")
FORMS = schemas.published(GOALS)
FIRST = datetime(2026, 11, 1, tzinfo=UTC)


def as_of(night: int) -> datetime:
    """The midnight of a numbered night."""
    return FIRST + timedelta(days=night)


def facts(**others: Any) -> dict[str, Any]:
    """What a manifest must be told."""
    return {
        "configuration_sha256": "c" * 64,
        "lake_versions": {"events": 3},
        "model_versions": {"click": "ranker/7", "read": "ranker/8"},
        **others,
    }


def ranked(night: int = 0, variant: int = 0, people: int = 3, k: int = 4) -> Ranked:
    """One night's tables; another `variant` ranks other contents."""
    ids = [(f"p{number:03d}", "visitor" if number % 3 == 2 else "customer") for number in range(people)]
    owners = [{"person_id": name, "id_type": kind, "segment": "loyal"} for name, kind in ids]
    return Ranked(
        people=_table("people", [row for owner in owners for row in _list(owner, night, variant, k, "model")]),
        segments=_table("segments", list(_list({"segment": "loyal"}, night, variant, k, "segment"))),
        default=_table("default", list(_list({"segment": "any"}, night, variant, k, "default"))),
    )


def changed(tables: Ranked, name: str, column: str, values: dict[int, Any]) -> Ranked:
    """The same tables with other values in some rows of one column."""
    table: pa.Table = getattr(tables, name)
    place = table.column_names.index(column)
    cells = [values.get(row, cell) for row, cell in enumerate(table[column].to_pylist())]
    other = table.set_column(place, table.schema.field(column), pa.array(cells, table.schema.field(column).type))
    return Ranked(**{**{each: getattr(tables, each) for each in FORMS}, name: other})


def terms(**others: Any) -> Terms:
    """What those tables are held to; nothing is declared unless a test says so."""

    def nothing(_: str, __: pa.Table) -> Iterable[Check]:
        return ()

    return Terms(**{"k": 4, "expected_people": 3, "declared": nothing, **others})


def publish(root: Path, night: int = 0, variant: int = 0, *, force: bool = False) -> Committed:
    """Stage and commit one night, which says in its manifest which it is."""
    staged = snapshot.stage(root, ranked(night, variant), facts(night=night, variant=variant), as_of(night))
    return snapshot.commit(root, staged, force_current=force)


def is_whole(path: Path) -> bool:
    """Whether every byte is as published, and the rows are those of the night and variant that it claims."""
    claims = manifest.load(path)
    expected = ranked(claims["night"], claims["variant"])
    return not snapshot.verify(path) and all(
        snapshot.table_of(path, name).equals(getattr(expected, name)) for name in FORMS
    )


def _list(owner: dict[str, str], night: int, variant: int, k: int, strategy: str) -> Iterable[dict[str, Any]]:
    for rank in range(1, k + 1):
        yield {
            **owner,
            "rank": rank,
            "content_id": f"c{variant}-{rank}",
            "score": 1.0 / rank,
            "p_click": 0.5 / rank,
            "p_read": None if strategy == "default" else 0.25,
            "strategy": strategy,
            "candidate_source": "trending",
            "reason": "Popular today",
            "propensity": 1.0,
            "model_version": "ranker/7",
            "as_of": as_of(night),
        }


def _table(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=FORMS[name].schema)
