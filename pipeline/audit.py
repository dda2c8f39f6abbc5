"""What must be true of a snapshot before anyone may read it, asked of the files as they lie on disk.

Write, audit, publish: `snapshot.stage` writes, this module asks, and only then does `snapshot.commit` let CURRENT move.
Questions about many rows at once are SQL in DuckDB; what can be said of one row is a suite in `expectations/suites`.
Findings name content and ranks, never people: they end up in logs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from expectations import schemas
from pipeline import manifest
from pipeline.errors import ShortlistError
from pipeline.query import Rows

Person: TypeAlias = tuple[str, str]
"""(`person_id`, `id_type`) as published: the company's own id, and `customer` or `visitor`."""

_PERSON = pa.schema([("person_id", pa.string()), ("id_type", pa.string())])
_LISTS = {"people": "person_id, id_type", "segments": "segment", "default": "segment"}
"""Whose list a row belongs to."""


@dataclass(frozen=True)
class Check:
    """One question and its answer."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class AuditReport:
    """All questions in the order in which they were asked."""

    checks: tuple[Check, ...]

    @property
    def failures(self) -> tuple[Check, ...]:
        """What did not pass."""
        return tuple(check for check in self.checks if not check.passed)

    @property
    def passed(self) -> bool:
        """Whether the snapshot may be published."""
        return not self.failures


@dataclass(frozen=True)
class Limits:
    """How far a snapshot may differ from what is expected, as shares in 0..1."""

    min_coverage: float = 1.0
    """Of the expected people, how many must have a list."""
    min_people_share: float = 0.5
    """Of the number of people in the previous snapshot, how many there must be now."""
    max_changed_share: float | None = None
    """Of the people in both snapshots, how many may have another list; None reports the share and lets it pass."""


Declared: TypeAlias = Callable[[str, Rows], Iterable[Check]]
"""Runs a table's declared suite on its files: `(table name, files) -> checks`."""


@dataclass(frozen=True)
class Terms:
    """What this night's snapshot is held to."""

    k: int
    expected_people: AbstractSet[Person] | int
    """Who must have a list (suppressed people aside), or at least how many."""
    declared: Declared
    suppressed: AbstractSet[Person] = frozenset()
    spread: bool = False
    """Whether lists are spread over subjects (`ranking.diversity`): of their scores only the first is the highest."""
    limits: Limits = field(default_factory=Limits)


def audit(
    path: Path, terms: Terms, connection: duckdb.DuckDBPyConnection, *, previous: Path | None = None
) -> AuditReport:
    """Ask everything of the snapshot at `path`, staged or published, comparing it with `previous` where there is one.

    Args:
        path: The snapshot's folder.
        terms: What it is held to.
        connection: With the memory limit and the temporary folder to work in.
        previous: The folder of the snapshot before it.

    Raises:
        ShortlistError: The files cannot be read at all.
    """
    facts = manifest.load(path)
    try:
        with connection.cursor() as cursor:
            _open(cursor, path, previous)
            _register_people(cursor, terms)
            checks = [
                *_lists(cursor, facts, terms),
                *_absence(cursor),
                *_coverage(cursor, terms),
                *_fallbacks(cursor),
                *(_comparison(cursor, terms.limits) if previous else ()),
                *_declared(path, facts, terms.declared),
            ]
    except (duckdb.Error, pa.ArrowInvalid, OSError) as error:
        raise ShortlistError(
            f"the audit of {path} could not be made: {error}. Nothing was published; "
            f"check the disk and that {previous or 'the snapshot'} is whole, then run the same command again."
        ) from error
    return AuditReport(tuple(checks))


def _open(cursor: duckdb.DuckDBPyConnection, path: Path, previous: Path | None) -> None:
    for table in _LISTS:
        cursor.register(table, _rows(path, table))
    if previous:
        cursor.register("previous", _rows(previous, "people"))


def _rows(snapshot: Path, table: str) -> ds.Dataset:
    files = manifest.parts(manifest.load(snapshot), table)
    return ds.dataset([str(snapshot / file) for file in files], format="parquet")


def _register_people(cursor: duckdb.DuckDBPyConnection, terms: Terms) -> None:
    cursor.register("suppressed", _people(terms.suppressed))
    if not isinstance(terms.expected_people, int):
        cursor.register("expected", _people(terms.expected_people))


def _people(people: AbstractSet[Person]) -> pa.Table:
    ids, types = [person[0] for person in people], [person[1] for person in people]
    return pa.table([pa.array(ids, pa.string()), pa.array(types, pa.string())], schema=_PERSON)


def _lists(cursor: duckdb.DuckDBPyConnection, facts: Mapping[str, Any], terms: Terms) -> Iterator[Check]:
    as_of = datetime.fromisoformat(facts["as_of"])
    for table, whose in _LISTS.items():
        columns = [column["name"] for column in facts["schema"][table]]
        for promise, sql in _promises(table, whose, terms, [name for name in columns if name.startswith("p_")]).items():
            yield _none_of(cursor, f"{table}: {promise}", sql)
        yield _none_of(
            cursor, f"{table}: rows are for this night", f'FROM "{table}" WHERE as_of IS DISTINCT FROM ?', as_of
        )


def _promises(table: str, whose: str, terms: Terms, probabilities: list[str]) -> dict[str, str]:
    """What holds for every list, each with a query for the rows for which it does not."""
    k = terms.k
    strategies = ", ".join(f"'{name}'" for name in schemas.STRATEGIES)
    outside = " OR ".join(f'NOT "{name}" BETWEEN 0 AND 1' for name in probabilities)
    return {
        f"ranks run from 1 to at most {k}, without gaps or repeats": f"""
            FROM "{table}" SEMI JOIN (
                SELECT {whose} FROM "{table}" GROUP BY ALL
                HAVING min(rank) <> 1 OR max(rank) <> count(*) OR count(DISTINCT rank) <> count(*) OR max(rank) > {k}
            ) USING ({whose})""",
        "no content is twice in a list": f"""
            FROM "{table}" QUALIFY row_number() OVER (PARTITION BY {whose}, content_id ORDER BY rank) > 1""",
        **_order(table, whose, terms),
        "scores are finite": f'FROM "{table}" WHERE NOT isfinite(score)',
        "probabilities are in 0..1": f"""FROM "{table}" WHERE {outside or "false"}""",
        "propensities are above 0, up to 1": f'FROM "{table}" WHERE NOT (propensity > 0 AND propensity <= 1)',
        "strategies are known": f"""FROM "{table}" WHERE strategy NOT IN ({strategies})""",
    }


def _order(table: str, whose: str, terms: Terms) -> dict[str, str]:
    """Scores may rise where a rule pins a content and in lists drawn by lot, and below the first in spread lists."""
    by_lot = f"min(propensity) OVER (PARTITION BY {whose}) < 1"
    if terms.spread:
        ruled = f"bool_or(candidate_source = 'rule') OVER (PARTITION BY {whose})"
        first = f"first(score) OVER (PARTITION BY {whose} ORDER BY rank)"
        return {"the best score comes first": f'FROM "{table}" QUALIFY score > {first} AND NOT ({by_lot} OR {ruled})'}
    above = f"lag(score) OVER (PARTITION BY {whose} ORDER BY rank)"
    unpinned = f"FROM \"{table}\" WHERE candidate_source <> 'rule'"
    return {"scores do not rise with rank": f"{unpinned} QUALIFY score > {above} AND NOT ({by_lot})"}


def _absence(cursor: duckdb.DuckDBPyConnection) -> Iterator[Check]:
    sql = "FROM people SEMI JOIN suppressed USING (person_id, id_type)"
    yield _none_of(cursor, "people: nobody who is suppressed", sql)


def _none_of(cursor: duckdb.DuckDBPyConnection, name: str, sql: str, *values: object) -> Check:
    """Passes where the query `sql` (without its SELECT) finds no row; else counts them and shows three."""
    found = f"SELECT count(*) OVER (), * FROM (SELECT content_id, rank {sql}) ORDER BY ALL LIMIT 3"
    rows = cursor.execute(found, values).fetchall()
    if not rows:
        return Check(name, passed=True, detail="no row contradicts it")
    examples = ", ".join(f"content {content} at rank {rank}" for _, content, rank in rows)
    return Check(name, passed=False, detail=f"{rows[0][0]} rows contradict it, such as {examples}")


def _coverage(cursor: duckdb.DuckDBPyConnection, terms: Terms) -> Iterator[Check]:
    if isinstance(terms.expected_people, int):
        expected = terms.expected_people
        covered = min(
            _number(cursor, "SELECT count(*) FROM (SELECT DISTINCT person_id, id_type FROM people)"), expected
        )
    else:
        everyone = "FROM expected ANTI JOIN suppressed USING (person_id, id_type)"
        expected = _number(cursor, f"SELECT count(*) {everyone}")
        covered = _number(
            cursor, f"SELECT count(*) FROM (SELECT * {everyone}) SEMI JOIN people USING (person_id, id_type)"
        )
    enough = covered >= terms.limits.min_coverage * expected
    detail = f"{covered} of {expected} expected people have one; {terms.limits.min_coverage:.1%} must"
    yield Check("people: everyone expected has a list", enough, detail)


def _fallbacks(cursor: duckdb.DuckDBPyConnection) -> Iterator[Check]:
    """Where nobody is known there are no segments of people."""
    people, segments, default = (_number(cursor, f'SELECT count(*) FROM "{table}"') for table in _LISTS)
    yield Check("segments: there is a list to fall back on", segments > 0 or not people, f"{segments} rows")
    yield Check("default: there is a list to fall back on", default > 0, f"{default} rows")


def _comparison(cursor: duckdb.DuckDBPyConnection, limits: Limits) -> Iterator[Check]:
    # Rank and content as one text: DuckDB combines two hashes by XOR, under which swapped ranks would cancel out.
    lists = "SELECT person_id, id_type, bit_xor(hash(rank || ' ' || content_id)) AS list FROM {} GROUP BY ALL"
    now, then, both, changed = _numbers(
        cursor,
        f"""
        SELECT count(now.list), count(old.list), count(*) FILTER (now.list IS NOT NULL AND old.list IS NOT NULL),
               count(*) FILTER (now.list <> old.list)
        FROM ({lists.format("people")}) AS now FULL JOIN ({lists.format("previous")}) AS old USING (person_id, id_type)
        """,
    )
    enough = now >= limits.min_people_share * then
    detail = f"{now} people now, {then} in the previous snapshot; {limits.min_people_share:.0%} of them must be"
    yield Check("people: not far fewer than before", enough, detail)
    share = changed / both if both else 0.0
    few = limits.max_changed_share is None or share <= limits.max_changed_share
    allowed = "no limit is set" if limits.max_changed_share is None else f"{limits.max_changed_share:.0%} may"
    yield Check("people: lists that changed", few, f"{share:.1%} of the {both} people in both snapshots; {allowed}")


def _declared(path: Path, facts: Mapping[str, Any], declared: Declared) -> Iterator[Check]:
    for table in _LISTS:
        yield from declared(table, [path / file for file in manifest.parts(facts, table)])


def _number(cursor: duckdb.DuckDBPyConnection, sql: str) -> int:
    return _numbers(cursor, sql)[0]


def _numbers(cursor: duckdb.DuckDBPyConnection, sql: str) -> tuple[int, ...]:
    return tuple(int(value) for value in cursor.execute(sql).fetchall()[0])
