"""Which visitors, customers, e-mails and orders are one person, and since when we know it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from expectations import schemas
from pipeline.errors import ShortlistError
from pipeline.lake import Lake
from pipeline.sections import Identity

_KINDS = ("customer", "email", "order", "visitor")
"""Kinds of ids, those that say best who somebody is first."""


def links(rows: pa.Table, known_at: datetime | None = None) -> pa.Table:
    """Ids seen together in one row, as `id`, `id_type`, `other_id`, `other_type`, `available_at` (the earliest).

    Each id of a row (`customer_id`, `email_id`, `order_id`, `visitor_id`; those that `rows` has) is linked to the row's
    best one. `known_at` stands in for the column `available_at`.
    """
    columns = {kind: rows[f"{kind}_id"] for kind in _KINDS if f"{kind}_id" in rows.column_names}
    when = rows["available_at"] if known_at is None else pa.array([known_at] * rows.num_rows, schemas.TIMESTAMP)
    kinds = list(columns)
    pairs = [(kind, better) for place, kind in enumerate(kinds) for better in kinds[:place]]
    return pa.concat_tables([_LINKS.empty_table(), *(_pairs(columns, kind, better, when) for kind, better in pairs)])


_LINKS = pa.schema([f for f in schemas.LAKE["identities"].schema if f.name not in ("source", "day")])


def _pairs(columns: Mapping[str, pa.ChunkedArray], kind: str, better: str, when: pa.ChunkedArray) -> pa.Table:
    """`kind` linked to `better` in the rows in which that is the best id."""
    chosen = pc.and_(pc.is_valid(columns[kind]), pc.is_valid(columns[better]))
    for best in list(columns)[: list(columns).index(better)]:
        chosen = pc.and_(chosen, pc.is_null(columns[best]))
    pairs = pa.table({"id": columns[kind], "other_id": columns[better], "available_at": when}).filter(chosen)
    first = pairs.group_by(["id", "other_id"]).aggregate([("available_at", "min")])
    n = first.num_rows
    found = [first["id"], pa.array([kind] * n, pa.string()), first["other_id"], pa.array([better] * n, pa.string())]
    return pa.table([*found, first["available_at_min"]], names=_LINKS.names).cast(_LINKS)


@dataclass(frozen=True)
class People:
    """Who is who at an instant.

    `persons`: `id`, `person_id`, one row an id that is known to be somebody's, sorted by `id`. `shared`: browsers that
    so many people used that they say nothing about anybody. `generic`: e-mails and orders of too many customers
    (info@…), which join nobody.
    """

    persons: pa.Table
    shared: pa.Array
    generic: pa.Array

    def resolve(self, ids: pa.Array) -> pa.Array:
        """Each id replaced by its person's; an id of which nothing is known is a person of its own."""
        return whose(self.persons, ids)

    def ids_of(self, persons: pa.Array) -> pa.Array:
        """These persons, and every id that is known to be theirs."""
        theirs = self.persons.filter(pc.is_in(self.persons["person_id"], value_set=persons))["id"]
        return pc.unique(pa.chunked_array([*theirs.chunks, persons], pa.int64())).sort()


def whose(persons: pa.Table, ids: pa.Array) -> pa.Array:
    """As `People.resolve`, by its `persons`."""
    position = pc.index_in(ids, value_set=persons["id"].combine_chunks())
    return pc.coalesce(pc.take(persons["person_id"].combine_chunks(), position), ids)


def people(links: pa.Table, as_of: datetime, limits: Identity) -> People:
    """Join the ids of `links` (the lake's `identities`) that were seen together strictly before `as_of`.

    E-mails, orders and customers that are linked, directly or through each other, are one person: the customer known
    longest, else the visitor, else the e-mail or order. A visitor (a browser) never joins two people: it belongs to the
    one it was seen with last; of two at the same instant, to the smaller pseudonym. An order that leads to no customer
    and no e-mail says nothing about a browser. What links too many is left out:
    an e-mail or order of more than `customers_per_address` customers, a visitor of more than `people_per_visitor`
    people. Where chains of links would still make one person of more customers than that, each e-mail and order of the
    chain belongs to the customer it was seen with first, and the customers stay apart.
    """
    known = links.filter(pc.less(links["available_at"], pa.scalar(as_of, schemas.TIMESTAMP)))
    seen = known.group_by(["id", "id_type", "other_id", "other_type"]).aggregate(
        [("available_at", "min"), ("available_at", "max")]
    )
    visits = pc.equal(seen["id_type"], "visitor")
    joined, generic = _without_generic(seen.filter(pc.invert(visits)), limits.customers_per_address)
    humans = _Humans.of(joined, seen.filter(visits), limits.customers_per_address)
    visitors, shared = _visitors(seen.filter(visits), generic, humans, limits.people_per_visitor)
    return People(_named(humans, visitors), shared, generic)


def _without_generic(joined: pa.Table, most: int) -> tuple[pa.Table, pa.Array]:
    """Links between customers, e-mails and orders but for ids that too many customers share; and those ids."""
    direct = joined.filter(pc.equal(joined["other_type"], "customer"))
    customers = direct.group_by("id").aggregate([("other_id", "count_distinct")])
    generic = customers.filter(pc.greater(customers["other_id_count_distinct"], most))["id"].combine_chunks().sort()
    touched = pc.or_(pc.is_in(joined["id"], value_set=generic), pc.is_in(joined["other_id"], value_set=generic))
    return joined.filter(pc.invert(touched)), generic


@dataclass(frozen=True)
class _Humans:
    """Customers, e-mails and orders (`ids`, sorted), each one's person, and by which of `_KINDS` it is known."""

    ids: np.ndarray
    person: np.ndarray
    kind: np.ndarray

    @classmethod
    def of(cls, joined: pa.Table, visits: pa.Table, most: int) -> _Humans:
        """Connected components of `joined`; what only visitors are linked to is a component of its own."""
        ends = [joined["id"], joined["other_id"], visits["other_id"]]
        kinds = [joined["id_type"], joined["other_type"], visits["other_type"]]
        when = [joined["available_at_min"], joined["available_at_min"], visits["available_at_min"]]
        ids, place = np.unique(_ints(ends), return_inverse=True)
        kind = np.zeros(len(ids), np.int64)
        kind[place] = np.asarray(pc.index_in(_chunked(kinds), value_set=pa.array(_KINDS)))
        first = np.full(len(ids), np.iinfo(np.int64).max)
        np.minimum.at(first, place, _ints(when))
        n = joined.num_rows
        graph = coo_array((np.ones(n, np.int8), (place[:n], place[n : 2 * n])), shape=(len(ids), len(ids)))
        _, component = connected_components(graph, directed=False)
        ranked = np.lexsort((ids, first, kind, component))
        best = ranked[np.unique(component[ranked], return_index=True)[1]]
        customers = np.bincount(component, weights=kind == 0, minlength=len(best))
        person = _apart(ids, ids[best][component], customers[component] > most, kind, joined)
        return cls(ids, person, kind[np.searchsorted(ids, person)])

    def of_ids(self, ids: np.ndarray) -> np.ndarray:
        """The places of ids that are all known."""
        return np.searchsorted(self.ids, ids)


def _apart(ids: np.ndarray, person: np.ndarray, oversize: np.ndarray, kind: np.ndarray, joined: pa.Table) -> np.ndarray:
    """Components of too many customers taken apart: each id goes to the customer that it was seen with first."""
    if not oversize.any():
        return person
    person = np.where(oversize, ids, person)
    ordered = joined.sort_by([("id", "ascending"), ("available_at_min", "ascending"), ("other_id", "ascending")])
    for other in ("customer", "email"):  # e-mails have customers, then orders may have e-mails
        direct = ordered.filter(pc.equal(ordered["other_type"], other))
        alias, at = np.unique(_ints([direct["id"]]), return_index=True)
        place, target = np.searchsorted(ids, alias), np.searchsorted(ids, _ints([direct["other_id"]])[at])
        free = oversize[place] & (person[place] == ids[place]) & (kind[place] > 0)
        person[place[free]] = person[target[free]]
    return person


def _visitors(visits: pa.Table, generic: pa.Array, humans: _Humans, most: int) -> tuple[pa.Table, pa.Array]:
    """`id`, `person_id`, `first` of each visitor that is somebody's; and the visitors of too many people."""
    place = humans.of_ids(_ints([visits["other_id"]]))
    met = visits.append_column("person_id", pa.array(humans.person[place], pa.int64()))
    somebody = pa.array(humans.kind[place] != _KINDS.index("order"))
    met = met.filter(pc.and_(somebody, pc.invert(pc.is_in(met["other_id"], value_set=generic))))
    counted = met.group_by("id").aggregate([("person_id", "count_distinct")])
    shared = counted.filter(pc.greater(counted["person_id_count_distinct"], most))["id"].combine_chunks().sort()
    ordered = met.filter(pc.invert(pc.is_in(met["id"], value_set=shared))).sort_by(
        [("id", "ascending"), ("available_at_max", "descending"), ("person_id", "ascending")]
    )
    latest = ordered.group_by("id", use_threads=False).aggregate([("person_id", "first"), ("available_at_min", "min")])
    return latest.select(["id", "person_id_first", "available_at_min_min"]).rename_columns(
        ["id", "person_id", "first"]
    ), shared


def _named(humans: _Humans, visitors: pa.Table) -> pa.Table:
    """Whoever is no customer is called after the visitor that was linked first: an id that others can join on."""
    ordered = visitors.sort_by([("person_id", "ascending"), ("first", "ascending"), ("id", "ascending")])
    person, at = np.unique(_ints([ordered["person_id"]]), return_index=True)
    nameless = humans.kind[humans.of_ids(person)] > 0
    old, new = person[nameless], _ints([ordered["id"]])[at][nameless]
    ids = np.concatenate([humans.ids, _ints([visitors["id"]])])
    found = np.concatenate([humans.person, _ints([visitors["person_id"]])])
    place = np.minimum(np.searchsorted(old, found), max(len(old) - 1, 0))
    named = np.where(old[place] == found, new[place], found) if len(old) else found
    order = np.argsort(ids)
    return pa.table({"id": ids[order], "person_id": named[order]})


def _chunked(columns: Sequence[pa.ChunkedArray]) -> pa.ChunkedArray:
    return pa.chunked_array([chunk for column in columns for chunk in column.chunks], columns[0].type)


def _ints(columns: Sequence[pa.ChunkedArray]) -> np.ndarray:
    """Ids and instants as one int64 array."""
    return np.asarray(_chunked(columns).cast(pa.int64())).astype(np.int64, copy=False)


def native_ids(lake: Lake, people: pa.Array) -> pa.Table:
    """`id`, `id_type`, `native_id` of those of `people` (unique pseudonyms) whom the vault knows, in their order.

    Who is known by an e-mail address alone, or by ids that only we have (`sources.is_nameless`), has none that a
    downstream system could join on, and is not there.

    Raises:
        ShortlistError: The vault knows nobody: it was removed, or made with another key.
    """
    vault = lake.read("native_ids", columns=["id", "id_type", "native_id"])
    vault = vault.filter(pc.is_in(vault["id"], value_set=people)).group_by(["id", "id_type", "native_id"]).aggregate([])
    if len(people) and not vault.num_rows:
        raise ShortlistError(
            f"the vault {lake.vault} knows none of {len(people)} people: it was removed, or made with another key. "
            "Restore it, or delete the lake and run `shortlist ingest` for all days again."
        )
    vault = vault.filter(pc.not_equal(vault["native_id"], ""))
    at = pc.index_in(people, value_set=vault["id"].combine_chunks())
    return vault.take(pc.drop_null(at))
