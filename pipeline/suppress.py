"""Who must not be personalized.

A wish counts for the whole person: every id that is known to be theirs. Sources of wishes: the newest CRM snapshot, the
latest signal of each id (Global Privacy Control, a consent banner), and `shortlist forget`, which is for good.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

import pyarrow as pa
import pyarrow.compute as pc

from expectations import schemas
from pipeline import identify
from pipeline.clock import last_finished_day
from pipeline.config import Config
from pipeline.identify import People
from pipeline.lake import Lake
from pipeline.pseudonyms import Pseudonyms, Purpose

FORGOTTEN = "_forgotten"
"""The source of what `shortlist forget` wrote: no configured source can have this name."""

_CRM = "crm"
_LISTED: tuple[Purpose, ...] = ("customer", "visitor")


def ids(
    said: pa.Table, snapshots: Iterable[tuple[str, date]], people: People, as_of: datetime, config: Config
) -> pa.Array:
    """Every id (int64, sorted) of everybody who objects, as known before `as_of`.

    Args:
        said: Rows of the lake's `suppressions`.
        snapshots: (source, day) of every CRM snapshot: an objection that the newest does not repeat is taken back.
        people: Who is who at `as_of`.
    """
    forgotten = said.filter(pc.equal(said["source"], FORGOTTEN))["id"]
    said = said.filter(pc.less(said["since"], pa.scalar(as_of, schemas.TIMESTAMP)))
    crm = _of_newest_snapshots(said, snapshots, last_finished_day(as_of, config))
    wishes = _latest_signals(said)
    objecting = pc.unique(pa.chunked_array([*crm.chunks, *wishes.chunks, *forgotten.chunks], pa.int64()))
    return people.ids_of(pc.unique(pa.concat_arrays([people.resolve(objecting), objecting])))


def _of_newest_snapshots(said: pa.Table, snapshots: Iterable[tuple[str, date]], last: date) -> pa.ChunkedArray:
    crm = said.filter(pc.equal(said["reason"], _CRM))
    spoken = zip(crm["source"].to_pylist(), crm["day"].to_pylist(), strict=True)
    newest: dict[str, date] = {}
    for source, day in {*snapshots, *spoken}:
        if day <= last:
            newest[source] = max(day, newest.get(source, day))
    tables = [
        crm.filter(pc.and_(pc.equal(crm["source"], source), pc.equal(crm["day"], pa.scalar(day, pa.date32()))))["id"]
        for source, day in newest.items()
    ]
    return pa.chunked_array([chunk for ids_ in tables for chunk in ids_.chunks], pa.int64())


def _latest_signals(said: pa.Table) -> pa.ChunkedArray:
    """Ids whose latest signal objects; of an objection and a consent at the same instant the objection counts."""
    signals = pc.and_(pc.is_in(said["reason"], pa.array(schemas.SIGNALS)), pc.not_equal(said["source"], FORGOTTEN))
    ordered = said.filter(signals).sort_by(
        [("id", "ascending"), ("since", "descending"), ("personalization", "ascending")]
    )
    latest = ordered.group_by("id", use_threads=False).aggregate([("personalization", "first")])
    return latest.filter(pc.invert(latest["personalization_first"]))["id"]


def forgotten(lake: Lake) -> pa.Array:
    """Every id (int64, sorted) of everybody who was forgotten."""
    return pc.unique(lake.read("suppressions", columns=["id"], source=FORGOTTEN)["id"]).sort()


def known_now(lake: Lake, as_of: datetime, config: Config, besides: str | None = None) -> pa.Array:
    """`ids` by what the lake holds, but for what the snapshots of the CRM `besides` say.

    A snapshot that is about to be loaded speaks for itself: judged by the one before, nobody could opt back in.
    """
    said = lake.read("suppressions")
    said = said.filter(pc.invert(pc.and_(pc.equal(said["reason"], _CRM), pc.equal(said["source"], besides or ""))))
    if not said.num_rows:
        return pa.array([], pa.int64())
    people = identify.people(lake.read("identities"), as_of, config.identity)
    return ids(said, lake.days("customers"), people, as_of, config)


def objecting(listed: pa.Table, suppressed: pa.Array, ids: Pseudonyms) -> frozenset[tuple[str, str]]:
    """Who of the listed people objects: the vault has forgotten their ids, so their pseudonyms are compared."""
    found: set[tuple[str, str]] = set()
    for kind in _LISTED:
        native = pc.unique(listed.filter(pc.equal(listed["id_type"], kind))["person_id"])
        theirs = native.filter(pc.is_in(ids.column(native, kind), value_set=suppressed))
        found |= {(person, kind) for person in theirs.to_pylist()}
    return frozenset(found)
