"""The log and the catalogue as of one night, sorted once and encoded as integers: what every feature starts from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import sparse

from features.order import numbered, ordered

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Matrix: TypeAlias = Any
"""A `scipy.sparse.csr_matrix`: scipy comes without types, so the alias tells people what it cannot tell mypy."""

DAY = 86_400_000_000
"""Microseconds."""

BUSY_DAYS, _SEEN_DAYS = 28, 365

UNDATED_DAYS = 365
"""The age given to content of which neither the catalogue nor the log says since when it exists."""

KINDS = ("impression", "view", "click", "like", "save", "share", "comment", "follow", "purchase", "refund", "other")
"""Codes of events, in this order; `other` is every custom one."""

STRENGTH = np.array([0, 1, 1, 3, 3, 3, 3, 2, 5, 0, 1], dtype=np.float64)
"""How much an event of each kind says about taste."""

_IMPRESSION, _REFUND = KINDS.index("impression"), KINDS.index("refund")


@dataclass(frozen=True)
class GoalRule:
    """What counts as reaching a goal: one of `events`, or a `view` of at least `min_dwell_seconds`."""

    events: tuple[str, ...]
    min_dwell_seconds: float | None = None


def reached(log: pa.Table, rule: GoalRule) -> pa.Array:
    """For each row of the log (any order), whether it reaches the goal."""
    hit = _each(log["event"], lambda words: pc.is_in(words, value_set=pa.array(rule.events, pa.string())), False)
    if rule.min_dwell_seconds is not None:
        long_enough = pc.fill_null(pc.greater_equal(log["dwell_seconds"], rule.min_dwell_seconds), False)
        view = _each(log["event"], lambda words: pc.equal(words, "view"), False)
        hit = pc.or_(hit, pc.and_(view, _whole(long_enough)))
    return hit


@dataclass(frozen=True)
class Catalogue:
    """Content known at the night, sorted by id. Codes are -1 where unknown; `tag[i]` is a tag of `tag_content[i]`."""

    ids: pa.Array
    published: Ints
    listed: Flags
    """In the catalogue and published, not expired, not in the future."""
    quality: Floats
    category: NDArray[np.int32]
    categories: tuple[str, ...]
    author: NDArray[np.int32]
    authors: tuple[str, ...]
    tag_content: NDArray[np.int32]
    tag: NDArray[np.int32]
    tags: tuple[str, ...]

    @property
    def size(self) -> int:
        """How many contents there are, listed or not."""
        return len(self.ids)


@dataclass(frozen=True)
class Crowd:
    """What nobody in particular did, be it people without consent: a row is `count` events of a kind with a content.

    `ts` is when the hour or day begins that was counted. Impressions and refunds are not in it.
    """

    content: NDArray[np.int64]
    ts: Ints
    kind: NDArray[np.int8]
    count: Floats


@dataclass(frozen=True)
class Readings:
    """Each person with each content that they did something with, once: the `first` time and the `last`.

    Sorted by person and content.
    """

    person: Ints
    content: Ints
    first: Ints
    last: Ints


@dataclass(frozen=True)
class History:
    """One row an event, in the order of (person, ts, kind, content, …); `people` are sorted pseudonyms.

    Built by `History.of` from Arrow tables in any order: the same rows give the same arrays.
    """

    as_of: int
    people: Ints
    catalogue: Catalogue
    person: NDArray[np.int64]
    content: NDArray[np.int64]
    ts: Ints
    kind: NDArray[np.int8]
    dwell: Floats
    value: Floats
    mobile: Flags
    goals: Mapping[str, Flags]
    crowd: Crowd

    @classmethod
    def of(
        cls,
        log: pa.Table,
        content: pa.Table,
        popularity: pa.Table,
        as_of: datetime,
        goals: Mapping[str, GoalRule],
    ) -> History:
        """Encode what was known strictly before `as_of` (time zone aware).

        Args:
            log: person_id (int64), ts (timestamp us UTC), content_id, event, dwell_seconds, value, device; any order,
                text plain or dictionary-encoded.
            content: the catalogue's columns of `expectations.schemas`; any order.
            popularity: content_id, event, ts and count (float64) of what nobody in particular did; any order.

        Raises:
            ValueError: A row of the log or of `popularity` did not happen before `as_of`.
        """
        instant = _micros(pa.scalar(as_of, pa.timestamp("us", tz="UTC")))
        ts = _past(log, instant)
        known = [_words(table["content_id"]) for table in (content, log, popularity)]
        ids = pc.unique(pa.concat_arrays(known)).sort()
        crowd = _crowd(popularity, ids, instant)
        people, person = numbered(np.asarray(_whole(log["person_id"])))
        codes = _codes_in(ids, log["content_id"])
        kind = _kinds(log)
        dwell, value = (_floats(log[name]) for name in ("dwell_seconds", "value"))
        mobile = np.asarray(_each(log["device"], lambda words: pc.equal(words, "mobile"), False)).astype(bool)
        flags = {name: np.asarray(reached(log, rule)).astype(bool) for name, rule in goals.items()}
        keys = *flags.values(), mobile, value, dwell, codes, kind, ts, person
        order = ordered(person, ts, lambda rows: np.lexsort([key[rows] for key in keys]))  # NaN sorts last
        return cls(
            as_of=instant,
            people=people,
            catalogue=_catalogue(
                content, ids, np.concatenate([codes, crowd.content]), np.concatenate([ts, crowd.ts]), instant
            ),
            person=person[order].astype(np.int64),
            content=codes[order],
            ts=ts[order],
            kind=kind[order],
            dwell=dwell[order],
            value=value[order],
            mobile=mobile[order],
            goals={name: flag[order] for name, flag in flags.items()},
            crowd=crowd,
        )

    @property
    def rows(self) -> int:
        """How many events there are."""
        return len(self.ts)

    @property
    def age_days(self) -> Floats:
        """How long ago each row happened, in days."""
        return (self.as_of - self.ts) / DAY

    @property
    def strength(self) -> Floats:
        """How much each row says about taste; not kept, being as long as the log and soon made."""
        weights = STRENGTH[self.kind]
        return np.where(np.nan_to_num(self.dwell) >= 30, weights + 2, weights)

    @cached_property
    def active(self) -> Flags:
        """Rows in which the person did something: neither an impression nor a refund."""
        return _active(self.kind)

    @cached_property
    def readings(self) -> Readings:
        """Everybody with everything that they did something with."""
        person, content, ts = (column[self.active] for column in (self.person, self.content, self.ts))
        keys = person * max(self.catalogue.size, 1) + content
        order = np.argsort(keys, kind="stable")  # of a person's rows the last is the latest
        ends = np.ones(len(order) + 1, bool)
        ends[1:-1] = keys[order[1:]] != keys[order[:-1]]
        first, last = order[ends[:-1]], order[ends[1:]]
        return Readings(person[last], content[last], ts[first], ts[last])

    def read_within(self, days: float) -> Flags:
        """Which `readings` are also of the last `days` days."""
        return self.readings.last >= self.as_of - np.int64(days * DAY)

    @cached_property
    def seen(self) -> Matrix:
        """(people, contents): how often each person did something with each content in the last year."""
        rows = self.active & self.within(_SEEN_DAYS)
        shape = (len(self.people), self.catalogue.size)
        return sparse.csr_matrix((np.ones(rows.sum()), (self.person[rows], self.content[rows])), shape=shape)

    def busy_days(self, ts: Ints) -> Floats:
        """How long ago instants are on the clock of what people do: things done since, by their mean number a day.

        A night is short on it, and so is a weekend. The mean is of the last `BUSY_DAYS` days, or of all that there are.
        """
        done = self._done
        recent = len(done) - np.searchsorted(done, self.as_of - BUSY_DAYS * DAY)
        days = min(BUSY_DAYS, (self.as_of - done[0]) / DAY) if len(done) else 1.0
        since, order = np.empty(len(ts)), np.argsort(ts)  # one after the other they are found in a tenth of the time
        since[order] = len(done) - np.searchsorted(done, ts[order])
        return since / max(recent / max(days, 1.0), 1.0)

    @cached_property
    def _done(self) -> Ints:
        """When people did anything, sorted: once, whoever asks for a time."""
        return np.sort(self.ts[self.active])

    def is_kind(self, *names: str) -> Flags:
        """Rows whose event is one of these `KINDS`."""
        return np.isin(self.kind, [KINDS.index(name) for name in names])

    def within(self, days: float) -> Flags:
        """Rows of the last `days` days."""
        return self.ts >= self.as_of - np.int64(days * DAY)

    def decay(self, half_life_days: float) -> Floats:
        """2^(-age / half-life), a row's weight."""
        return np.exp2(-self.age_days / half_life_days)

    def per_person(self, rows: Flags, weights: Floats | None = None) -> Floats:
        """Sum of `weights` (or a count) over the chosen rows, for each person."""
        chosen = None if weights is None else weights[rows]
        return np.bincount(self.person[rows], weights=chosen, minlength=len(self.people)).astype(np.float64)

    def per_content(self, rows: Flags, weights: Floats | None = None) -> Floats:
        """Sum of `weights` (or a count) over the chosen rows, for each content."""
        chosen = None if weights is None else weights[rows]
        return np.bincount(self.content[rows], weights=chosen, minlength=self.catalogue.size).astype(np.float64)


def _past(rows: pa.Table, instant: int) -> Ints:
    """When each row happened."""
    ts: Ints = np.asarray(rows["ts"].cast(pa.int64()).combine_chunks())
    if len(ts) and ts.max() >= instant:
        raise ValueError(f"the log knows the future: a row happened at {ts.max()} us, the night is {instant} us")
    return ts


def _kinds(rows: pa.Table) -> NDArray[np.int8]:
    other = len(KINDS) - 1
    return np.asarray(_each(rows["event"], lambda words: pc.index_in(words, value_set=pa.array(KINDS)), other)).astype(
        np.int8
    )


def _active(kind: NDArray[np.int8]) -> Flags:
    found: Flags = (kind != _IMPRESSION) & (kind != _REFUND)
    return found


def _crowd(popularity: pa.Table, ids: pa.Array, instant: int) -> Crowd:
    """In the order of (content, ts, kind, count)."""
    ts, kind, count = _past(popularity, instant), _kinds(popularity), _floats(popularity["count"])
    content = _codes_in(ids, popularity["content_id"])
    order = np.lexsort((count, kind, ts, content))
    kept = order[(_active(kind) & (count > 0))[order]]
    return Crowd(content[kept], ts[kept], kind[kept], count[kept])


def _catalogue(content: pa.Table, ids: pa.Array, log_content: Ints, log_ts: Ints, instant: int) -> Catalogue:
    """The catalogue aligned with `ids`; content that only the log (or the crowd's counts) knows is not listed."""
    ordered = content.sort_by("content_id")
    at = np.asarray(pc.index_in(_whole(ordered["content_id"]), value_set=ids)).astype(np.int64)
    n = len(ids)
    first_seen = np.full(n, instant, np.int64)
    np.minimum.at(first_seen, log_content, log_ts)
    # Nobody touched it and the catalogue does not date it: it can be shown, but not as new.
    first_seen[at] = np.where(first_seen[at] == instant, instant - UNDATED_DAYS * DAY, first_seen[at])
    published = first_seen.copy()
    known = np.asarray(pc.fill_null(_whole(ordered["published_at"]).cast(pa.int64()), np.iinfo(np.int64).min))
    dated = known > np.iinfo(np.int64).min
    published[at[dated]] = known[dated]
    category, categories = _codes(ordered["category"], at, n)
    author, authors = _codes(ordered["author"], at, n)
    tag_content, tag, tags = _tag_codes(ordered, at)
    return Catalogue(
        ids=ids,
        published=published,
        listed=_listed(ordered, at, n, published, instant),
        quality=_scatter(_floats(ordered["quality"]), at, n),
        category=category,
        categories=categories,
        author=author,
        authors=authors,
        tag_content=tag_content,
        tag=tag,
        tags=tags,
    )


def _listed(ordered: pa.Table, at: Ints, n: int, published: Ints, instant: int) -> Flags:
    status = np.asarray(pc.fill_null(pc.equal(_whole(ordered["status"]), "published"), True)).astype(bool)
    expires = np.asarray(pc.fill_null(_whole(ordered["expires_at"]).cast(pa.int64()), np.iinfo(np.int64).max))
    listed = np.zeros(n, bool)
    listed[at] = status & (expires > instant)
    return listed & (published < instant)


def _codes(column: pa.ChunkedArray, at: Ints, n: int) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    values = _whole(column)
    names = pc.drop_null(pc.unique(values)).sort()
    codes = np.full(n, -1, np.int32)
    codes[at] = np.asarray(pc.fill_null(pc.index_in(values, value_set=names), -1)).astype(np.int32)
    return codes, tuple(names.to_pylist())


def _tag_codes(ordered: pa.Table, at: Ints) -> tuple[NDArray[np.int32], NDArray[np.int32], tuple[str, ...]]:
    lists = _whole(ordered["tags"])
    flat = pc.list_flatten(lists)
    owner = at[np.asarray(pc.list_parent_indices(lists)).astype(np.int64)].astype(np.int32)
    names = pc.drop_null(pc.unique(flat)).sort()
    codes = np.asarray(pc.fill_null(pc.index_in(flat, value_set=names), -1)).astype(np.int32)
    known = codes >= 0
    order = np.lexsort((codes[known], owner[known]))
    return owner[known][order], codes[known][order], tuple(names.to_pylist())


def _scatter(values: Floats, at: Ints, n: int) -> Floats:
    placed = np.full(n, np.nan)
    placed[at] = values
    return placed


def _each(text: pa.ChunkedArray | pa.Array, asked: Callable[[pa.Array], pa.Array], missing: object) -> pa.Array:
    """What is `asked` of each text; of dictionary-encoded ones only once a word."""
    whole = _whole(text)
    found = asked(whole.dictionary).take(whole.indices) if pa.types.is_dictionary(whole.type) else asked(whole)
    return pc.fill_null(found, missing)


def _words(text: pa.ChunkedArray) -> pa.Array:
    """The different texts, plain."""
    return pc.unique(_whole(text)).cast(pa.string())


def _codes_in(ids: pa.Array, text: pa.ChunkedArray) -> Ints:
    """The place of each text among `ids`, which has them all."""
    return np.asarray(_each(text, lambda words: pc.index_in(words, value_set=ids), -1)).astype(np.int64)


def _whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _floats(column: pa.ChunkedArray) -> Floats:
    """Nulls become NaN."""
    return np.asarray(pc.fill_null(_whole(column).cast(pa.float64()), np.nan), dtype=np.float64)


def _micros(instant: pa.Scalar) -> int:
    return int(instant.cast(pa.int64()).as_py())
