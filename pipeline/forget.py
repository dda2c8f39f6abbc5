"""Everything about some people out of everything that is kept, for good; a receipt says what was done and names nobody.

The suppression list comes first: it holds keyed hashes only, and from then on nothing of theirs comes in again. Every
further step removes whomever the list calls forgotten, and finds nothing where that was done. So whoever is
interrupted, anywhere, runs any `forget` again and comes to the same end.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console

from expectations import schemas
from pipeline import (
    disk,
    erasure,
    exports,
    identify,
    lake_history,
    registry,
    scratch,
    snapshot_erasure,
    stores,
    suppress,
)
from pipeline.config import Config
from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.lake import NIGHT, UNDATED, Lake
from pipeline.pseudonyms import Pseudonyms
from pipeline.ranked import unrank
from pipeline.records import Tracker
from pipeline.report import Report
from pipeline.snapshot_erasure import Theirs
from pipeline.stores import Followed

IdType = Literal["customer", "visitor", "email"]

_ALWAYS = datetime(9999, 1, 1, tzinfo=UTC)
"""Links that are known by then: all. What a past night did not know yet must go as well."""
_LISTED = schemas.LAKE["suppressions"].schema
_KINDS = pa.schema([("id", pa.int64()), ("id_type", pa.string())])


@dataclass(frozen=True)
class Removed:
    """`rows` by table; `files`, by table, of older versions.

    `snapshots` that had rows of theirs, each of which gave way to one without; `exports`, by format, that were written
    anew after that; `ranked` nights that were not published.
    `stores` have no snapshot but those that are here.
    """

    rows: Mapping[str, int]
    snapshots: tuple[str, ...]
    exports: tuple[str, ...]
    ranked: tuple[str, ...]
    files: Mapping[str, int]
    stores: tuple[Followed, ...] = ()


@dataclass(frozen=True)
class ForgetReport(Report):
    """What was done, in counts. Whoever is `unknown` is on the suppression list all the same, now or `already`.

    `models` are the versions that were trained while the people were known; the next training does without them.
    """

    as_of: str
    people: int
    unknown: int
    already: int
    removed: Removed
    models: tuple[str, ...]
    receipt: str


def run(as_of: datetime, config: Config, persons: Sequence[str], id_type: IdType | None = None) -> ForgetReport:
    """Forget `persons`: a customer's or a visitor's own id, or an e-mail address, each with all ids of that person.

    No night may run meanwhile; `shortlist run` is kept from it. `as_of` is when that was asked for.

    Raises:
        ConfigurationError: An id is empty, or there is no key for pseudonyms.
        ShortlistError: An id is that of several people, or something cannot be removed; run it again then.
    """
    lake, ids = Lake.of(config), Pseudonyms.of(config)
    with _alone(lake):
        found = _Search(lake, config, ids)
        named = [found.person(typed, id_type) for typed in persons]
        everybody = pa.concat_tables([_KINDS.empty_table(), *(one.ids for one in named)])
        _suppress(lake, everybody, as_of)
        _require_quiet(lake)
        unknown, already = (sum(one.state == state for one in named) for state in ("unknown", "already"))
        report = ForgetReport(
            as_of=as_of.isoformat(),
            people=len(named),
            unknown=unknown,
            already=already,
            removed=_erase(lake, config, ids),
            models=() if unknown == len(named) else _models(lake, config),
            receipt=str(lake.receipts / f"{as_of.astimezone(UTC).strftime(NIGHT)}-{secrets.token_hex(8)}.json"),
        )
        _keep(report)
        return report


def _models(lake: Lake, config: Config) -> tuple[str, ...]:
    versions = registry.versions(Tracker(lake.tracking, config.project.name))
    return tuple(one.version for one in versions)


def _keep(report: ForgetReport) -> None:
    """Write the receipt, under a number that says nothing about anybody."""
    path, text = Path(report.receipt), json.dumps(report.to_json(), indent=1) + "\n"
    disk.make_folder(path.parent)
    disk.write(path, lambda file: file.write(text.encode()))
    disk.sync_folder(path.parent)


# ---------------------------------------------------------------- who it is


@dataclass(frozen=True)
class _Named:
    """One person: `id` and `id_type` of all that is known to be theirs."""

    ids: pa.Table
    state: Literal["known", "unknown", "already"]


class _Search:
    """Who is meant by what somebody typed, by what the vault and the suppression list know."""

    def __init__(self, lake: Lake, config: Config, ids: Pseudonyms) -> None:
        links = lake.read("identities")
        ends = [links.select(["id", "id_type"]), links.select(["other_id", "other_type"]).rename_columns(_KINDS.names)]
        listed = lake.read("suppressions", columns=_KINDS.names)
        natives = lake.read("native_ids", columns=_KINDS.names)
        self._kinds = pa.concat_tables([*ends, listed, natives]).group_by(_KINDS.names).aggregate([]).cast(_KINDS)
        self._people = identify.people(links, _ALWAYS, config.identity)
        self._forgotten = suppress.forgotten(lake)
        self._pseudonyms = ids

    def person(self, typed: str, id_type: IdType | None) -> _Named:
        """Whoever has the id; of somebody unknown, what the id would be as each kind of id."""
        if not typed.strip():
            raise ConfigurationError("an empty id names nobody: give a customer's or visitor's id, or an e-mail")
        kinds = [id_type] if id_type else list(get_args(IdType))
        asked = pa.table([[self._pseudonyms.one(typed, kind) for kind in kinds], kinds], schema=_KINDS)
        known = asked.filter(pc.is_in(asked["id"], value_set=self._kinds["id"].combine_chunks()))
        whose = pc.unique(self._people.resolve(known["id"].combine_chunks()))
        if len(whose) > 1:
            raise ShortlistError(
                f"one of the ids is that of different people, as {' and as '.join(known['id_type'].to_pylist())}. "
                "Nothing was removed; say with --id-type which is meant, in a command of its own."
            )
        if not known.num_rows:
            return _Named(asked, "unknown")
        theirs = pc.unique(pa.concat_arrays([self._people.ids_of(whose), known["id"].combine_chunks()]))
        every = self._kinds.filter(pc.is_in(self._kinds["id"], value_set=theirs))
        listed = pc.all(pc.is_in(every["id"], value_set=self._forgotten)).as_py()
        return _Named(every, "already" if listed else "known")


def _suppress(lake: Lake, people: pa.Table, as_of: datetime) -> None:
    """Add whoever is not there yet to the list of those who are forgotten."""
    listed = lake.read("suppressions", source=suppress.FORGOTTEN)
    new = people.group_by(_KINDS.names).aggregate([])
    new = new.filter(pc.invert(pc.is_in(new["id"], value_set=listed["id"].combine_chunks())))
    if not new.num_rows:
        return
    told = {"personalization": False, "reason": "forgotten", "since": as_of, "source": suppress.FORGOTTEN}
    rows = [{**row, **told, "day": UNDATED} for row in new.to_pylist()]
    everybody = pa.concat_tables([listed, pa.Table.from_pylist(rows, schema=_LISTED)])
    lake.replace_day("suppressions", everybody, suppress.FORGOTTEN, UNDATED)


# ---------------------------------------------------------------- out of everything


def _erase(lake: Lake, config: Config, ids: Pseudonyms) -> Removed:
    """Remove all whom the list calls forgotten."""
    forgotten = suppress.forgotten(lake)
    theirs = _among(forgotten, ids)
    rows = erasure.forget_people(lake, forgotten)
    snapshots = snapshot_erasure.rewrite_without(lake.rankings, theirs, config.project.cadence)
    exported = exports.update(config)
    ranked = unrank(lake, theirs)
    return Removed(rows, snapshots, exported, ranked, lake_history.erase(lake), stores.forget(config))


def _among(forgotten: pa.Array, ids: Pseudonyms) -> Theirs:
    """Tells rows about them by the ids that are published: the vault does not know them any more."""

    def theirs(people: pa.Table) -> pa.Array:
        found = pa.array([False] * people.num_rows)
        for kind in ("customer", "visitor"):
            native = pc.if_else(pc.equal(people["id_type"], kind), people["person_id"], None)
            found = pc.or_(found, pc.is_in(ids.column(native, kind), value_set=forgotten))
        return found

    return theirs


def _require_quiet(lake: Lake) -> None:
    """Raise ShortlistError while a load is under way that may not know the list yet.

    What killed loads and killed steps left is removed. A load takes its folder before it looks at the list: one that
    comes later leaves these people out.
    """
    if held := scratch.sweep(lake.staging):
        raise ShortlistError(
            f"{lake.root}: a load is under way ({held[0]}), which may bring in rows of theirs. They are on the "
            "suppression list, and nothing was removed yet: wait until the load ends (or stop it, which drops its "
            "rows), then run the same command again."
        )
    scratch.sweep(lake.scratch)


@contextmanager
def _alone(lake: Lake) -> Iterator[None]:
    """Hold the lock of `shortlist run`: rows that it has in memory would be written after we have looked."""
    path = lake.airflow / "local" / "lock"
    disk.make_folder(path.parent)
    lock = disk.try_lock(path)
    if lock is None:
        raise ShortlistError(
            f"{path}: a `shortlist run` or another `shortlist forget` is under way here. Nothing was removed; "
            "wait for it to end, then run the same command again."
        )
    with lock:
        yield


def tell(report: ForgetReport, out: Console) -> None:
    """The receipt in words."""
    removed = report.removed
    out.print(f"{report.people} people are on the suppression list for good", markup=False)
    if report.unknown:
        out.print(f"  {report.unknown} of them unknown: there was nothing of theirs to remove", markup=False)
    if report.already:
        out.print(f"  {report.already} of them forgotten before", markup=False)
    for table, rows in removed.rows.items():
        out.print(f"{table}: {rows:,} rows removed", markup=False)
    out.print(f"published snapshots rewritten without them: {len(removed.snapshots)}", markup=False)
    if removed.exports:
        out.print(f"exports written anew without them: {', '.join(removed.exports)}", markup=False)
    for store in removed.stores:
        out.print(stores.told(store), markup=False, soft_wrap=True)
    if removed.ranked:
        out.print(f"ranked again before they can be published: {', '.join(removed.ranked)}", markup=False)
    out.print(f"files of older versions removed: {sum(removed.files.values()):,}", markup=False)
    if report.models:
        out.print("The models learned from them among others, and hold no rows; the next training does without them.")
    out.print(f"receipt: {report.receipt}", markup=False, soft_wrap=True)
