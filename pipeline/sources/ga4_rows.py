"""GA4's events as native rows: what they were about joined to who did it, one row an element of a list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from expectations.schemas import NATIVE, TIMESTAMP
from pipeline.sources import countries
from pipeline.sources.export import PART, ROW_NUMBER, counted, native
from pipeline.sources.ga4_dwell import Verdict
from pipeline.sources.ga4_facts import NONE, Array, Facts, clean
from pipeline.sources.ga4_files import Export
from pipeline.sources.ga4_spread import Spread

_HOUR = 3_600_000_000
_ELEMENT = np.uint64(0x9E3779B97F4A7C15)
_LEFT_OUT = {
    "view": "page_views_without_content",
    "impression": "lists_without_items",
    "purchase": "purchases_without_items",
}
_UNSUMMED = 16
_KEY = list(NATIVE["popularity"].key)


class Rows:
    """The events of an export, part by part; when all parts are read, also `popularity` and `notes`."""

    def __init__(self, export: Export, facts: Facts, verdict: Verdict, events: Mapping[str, str]) -> None:
        """`events`: their names to ours."""
        self._export, self._facts, self._verdict = export, facts, verdict
        self._ours = list(dict.fromkeys(events.values()))
        theirs = [self._ours.index(events[name]) if name in events else -1 for name in facts.names.texts]
        self._event = np.array([*theirs, -1], np.int32)[facts.name]
        self._hours: list[pa.Table] = []
        self._silent: Counter[str] = Counter()

    def parts(self) -> Iterator[pa.Table]:
        """`events` in the order of the file; those of nobody go to `popularity`."""
        for batch in self._export.people():
            at = batch[ROW_NUMBER].to_numpy() - 1
            kept = np.flatnonzero(self._verdict.once[at] & (self._event[at] >= 0))
            spread = self._spread(batch.take(pa.array(kept)), at[kept])
            rows = spread.filter(~self._note_empty(spread))
            nobody = self._facts.nobody[rows.at]
            self._count(rows.filter(nobody))
            somebodys = self._native(rows.filter(~nobody))
            yield from (somebodys.slice(start, PART) for start in range(0, somebodys.num_rows, PART))

    def popularity(self) -> pa.Table:
        """What people without consent did, by content, event and hour."""
        if not self._hours:
            return native("popularity", pa.table({ROW_NUMBER: pa.array([], pa.int64())}))
        hours = _summed(pa.concat_tables(self._hours))
        return native("popularity", hours.sort_by([(ROW_NUMBER, "ascending"), *((key, "ascending") for key in _KEY)]))

    def repeated(self) -> int:
        """Events of somebody that had been there before."""
        return int((self._somebodys() & ~self._verdict.once).sum())

    def notes(self) -> Mapping[str, int]:
        """What was left out of `events`, and why."""
        facts, there = self._facts, self._facts.name >= 0
        engaged = facts.name == facts.names.code("user_engagement")
        others = self._somebodys() & self._verdict.once & (self._event < 0) & ~engaged
        return counted(
            without_consent=int((there & facts.nobody).sum()),
            not_content_events=int(others.sum()),
            personal_data_in_url=facts.personal,
            **self._silent,
        )

    def _somebodys(self) -> Array:
        somebodys: Array = (self._facts.name >= 0) & ~self._facts.nobody
        return somebodys

    def _spread(self, batch: pa.RecordBatch, at: Array) -> Spread:
        listed = np.isin(self._event[at], self._codes("impression", "purchase"))
        codes = self._facts.content[at]
        return Spread.of(batch, at, listed, self._facts.contents.take(pa.array(codes, mask=codes < 0)))

    def _codes(self, *events: str) -> list[int]:
        return [self._ours.index(event) for event in events if event in self._ours]

    def _is(self, rows: Spread, *events: str) -> Array:
        return np.isin(self._event[rows.at], self._codes(*events))

    def _note_empty(self, rows: Spread) -> Array:
        """Rows of a view, list or purchase that say nothing; those of somebody are counted."""
        silent = pc.is_null(rows.about).to_numpy(zero_copy_only=False) & (rows.n == 0)
        somebodys = ~self._facts.nobody[rows.at]
        for event, note in _LEFT_OUT.items():
            self._silent[note] += int((silent & somebodys & self._is(rows, event)).sum())
        empty: Array = silent & self._is(rows, *_LEFT_OUT)
        return empty

    def _dwell(self, rows: Spread) -> pa.Array:
        seconds = self._verdict.dwell_seconds[rows.at]
        return pa.array(seconds, mask=np.isnan(seconds) | ~self._is(rows, "view"))

    def _names(self, rows: Spread) -> pa.Array:
        return pa.array(self._ours, pa.string()).take(pa.array(self._event[rows.at]))

    def _count(self, rows: Spread) -> None:
        """Add to `popularity`, now and then summed, as most parts are about the same hours and contents."""
        self._hours.append(self._by_hour(rows))
        if len(self._hours) > _UNSUMMED:
            self._hours = [_summed(pa.concat_tables(self._hours))]

    def _by_hour(self, rows: Spread) -> pa.Table:
        ts = self._facts.ts[rows.at]
        counted = {
            "content_id": rows.about,
            "event": self._names(rows),
            "ts": pa.array(ts - ts % _HOUR).cast(TIMESTAMP),
            "count": np.ones(len(ts)),
            "dwell_seconds": self._dwell(rows),
            ROW_NUMBER: rows.at + 1,
        }
        return _summed(pa.table(counted).filter(pc.is_valid(rows.about)))

    def _native(self, rows: Spread) -> pa.Table:
        facts, at = self._facts, rows.at
        event_id = _ids(facts.ts[at], facts.key[at] + rows.n.astype(np.uint64) * _ELEMENT)
        visitor, session = rows.column("user_pseudo_id"), facts.session[at]
        session_id = pc.binary_join_element_wise(
            visitor, pa.array(session, mask=session == NONE).cast(pa.string()), pa.scalar(".")
        )
        columns = {
            ROW_NUMBER: at + 1,
            "event_id": event_id,
            "ts": pa.array(facts.ts[at]).cast(TIMESTAMP),
            "visitor_id": visitor,
            "customer_id": clean(rows.column("user_id")),
            "session_id": session_id,
            "order_id": self._orders(rows),
            "content_id": rows.about,
            "event": self._names(rows),
            "dwell_seconds": self._dwell(rows),
            "value": _where(self._is(rows, "purchase"), rows.worth()),
            "position": _where(self._is(rows, "impression", "click"), rows.position(zero_based=facts.zero_based)),
            "impression_id": _where(self._is(rows, "impression"), event_id),
            "channel": self._channel(rows),
            "device": clean(rows.column("device", "category")),
            "country": _mapped(rows.column("geo", "country"), lambda name: countries.BY_NAME.get(name.lower())),
        }
        return native("events", pa.table(columns))

    def _orders(self, rows: Spread) -> pa.Array:
        orders = np.full(len(rows.at), None, object)
        bought = np.flatnonzero(self._is(rows, "purchase"))
        orders[bought] = [self._facts.orders.get(row) for row in rows.at[bought].tolist()]
        return pa.array(orders, pa.string())

    def _channel(self, rows: Spread) -> pa.Array:
        if not self._export.has("platform"):
            return pa.repeat("web", len(rows.at))
        return _mapped(rows.column("platform"), str.lower)


def _summed(rows: pa.Table) -> pa.Table:
    grouped = rows.group_by(_KEY, use_threads=False)  # with threads, sums of fractions differ from run to run
    sums = grouped.aggregate([("count", "sum"), ("dwell_seconds", "sum"), (ROW_NUMBER, "min")])
    return sums.rename_columns([*_KEY, "count", "dwell_seconds", ROW_NUMBER])


def _where(kept: Array, values: pa.Array) -> pa.Array:
    return pc.if_else(pa.array(kept), values, pa.scalar(None, values.type))


def _mapped(texts: pa.Array, to: Callable[[str], str | None]) -> pa.Array:
    """Each text as another, worked out once for each that there is."""
    encoded = texts.dictionary_encode()
    known = [None if text is None else to(text) for text in encoded.dictionary.to_pylist()]
    return pa.array(known, pa.string()).take(encoded.indices)


def _ids(ts: Array, key: Array) -> pa.Array:
    """Instant and key as 32 hexadecimal digits."""
    numbers = np.stack([ts.astype(">u8"), key.astype(">u8")], axis=1)
    digits = numbers.tobytes().hex().encode()
    offsets = np.arange(0, len(digits) + 1, 32, dtype=np.int32)
    return pa.StringArray.from_buffers(len(ts), pa.py_buffer(offsets), pa.py_buffer(digits))
