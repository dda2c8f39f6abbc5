"""A day of GA4's nested BigQuery export, of any size, for measuring what reading it costs.

    python -m benchmarks.ga4_day day.parquet --events 10_000_000

Sessions of skewed visitors (about one in twenty events is a new visitor's), 6 to 10 parameters an event, lists and
purchases with items, 2 % of the rows sent twice, 3 % of the sessions without consent. The same seed gives the
same rows.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

Ints = np.ndarray[Any, np.dtype[np.int64]]

MIDNIGHT = 1_782_777_600_000_000
"""2026-06-30 00:00 UTC in microseconds."""

_GROUP = 125_000
_CONTENT = 5_000
_NAMES = ("page_view", "scroll", "user_engagement", "select_content", "view_item_list", "purchase", "session_start")
_MIX = (0.34, 0.17, 0.24, 0.10, 0.11, 0.01, 0.03)
_VIEW, _SCROLL, _ENGAGED, _CLICK, _LIST, _BOUGHT, _START = range(7)
_PARAMETERS = (
    "ga_session_id",
    "ga_session_number",
    "page_location",
    "page_title",
    "page_referrer",
    "engagement_time_msec",
    "session_engaged",
    "engaged_session_event",
    "content_id",
    "source",
    "medium",
    "percent_scrolled",
)
_SESSION, _NUMBER, _PAGE, _TITLE, _REFERRER, _TIME, _ENGAGED_TEXT, _ENGAGED_INT, _ABOUT, _SOURCE, _MEDIUM, _PERCENT = (
    range(12)
)
_COUNTRIES = ("Germany", "Austria", "Switzerland", "United Kingdom", "United States", "Atlantis")


def main() -> None:
    """Write the day that the command line asks for."""
    parser = argparse.ArgumentParser(description="Write a synthetic day of GA4's BigQuery export as Parquet.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    write(given.out, given.events, given.seed)


def write(path: Path, events: int, seed: int = 7) -> None:
    """About `events` events, in row groups of 125,000."""
    parts = tables(events, seed)
    first = next(parts)
    with pq.ParquetWriter(path, first.schema, compression="snappy") as writer:
        writer.write_table(first)
        for part in parts:
            writer.write_table(part)


def tables(events: int, seed: int = 7) -> Iterator[pa.Table]:
    """The day in tables of one row group each."""
    draws = np.random.default_rng(seed)
    visitors = max(events // 20, 1)
    cumulated = np.cumsum(draws.lognormal(0, 1.25, visitors))
    for start in range(0, events, _GROUP):
        yield _table(draws, cumulated / cumulated[-1], min(_GROUP, events - start))


def _table(draws: np.random.Generator, visitors: np.ndarray[Any, Any], rows: int) -> pa.Table:
    sessions = rows // 8 + 1
    session = np.sort(draws.integers(0, sessions, rows))
    visitor = np.searchsorted(visitors, draws.random(sessions))[session]
    began = draws.integers(MIDNIGHT, MIDNIGHT + 85_000_000_000, sessions)[session]
    first = np.r_[True, session[1:] != session[:-1]]
    name = np.where(first, _VIEW, draws.choice(len(_NAMES), rows, p=_MIX))
    page = _since_view(draws, name)
    gaps = draws.exponential(15e6, rows).astype(np.int64)
    elapsed = np.cumsum(gaps)
    ts = began + elapsed - elapsed[first][np.cumsum(first) - 1]
    facts = {"session": began // 1_000_000, "visitor": visitor, "ts": ts, "name": name, "page": page}
    return _sent_twice(draws, _columns(draws, facts, draws.random(sessions)[session] < 0.03))


def _since_view(draws: np.random.Generator, name: Ints) -> Ints:
    """The page that was viewed last; low numbers are popular."""
    pages = (_CONTENT * draws.random(len(name)) ** 3).astype(np.int64)
    return pages[np.maximum.accumulate(np.where(name == _VIEW, np.arange(len(name)), 0))]


def _sent_twice(draws: np.random.Generator, table: pa.Table) -> pa.Table:
    """One row in fifty replaced by the row before it."""
    rows = np.arange(table.num_rows)
    rows[draws.random(len(rows)) < 0.02] -= 1
    return table.take(pa.array(np.maximum(rows, 0)))


def _columns(draws: np.random.Generator, facts: Mapping[str, Ints], denied: np.ndarray[Any, Any]) -> pa.Table:
    visitor, ts, name = facts["visitor"], facts["ts"], facts["name"]
    rows = len(ts)
    person = [f"{1_000_000_000 + v * 7919 % 8_999_999_999}.{1_700_000_000 + v % 80_000_000}" for v in visitor.tolist()]
    known = np.where(visitor % 6 == 0, visitor, -1)
    columns = {
        "event_date": pa.repeat("20260630", rows),
        "event_timestamp": pa.array(ts),
        "event_name": _text(_NAMES, name),
        "event_params": _parameters(draws, facts),
        "event_previous_timestamp": pa.array(ts - 10_000_000),
        "event_bundle_sequence_id": pa.array(ts // 1000 % 1_000_000),
        "event_server_timestamp_offset": pa.array(ts % 900_000),
        "user_id": pa.array([f"crm-{v}" if v >= 0 else None for v in known.tolist()], pa.string()),
        "user_pseudo_id": pa.array(person, pa.string(), mask=denied),
        "privacy_info": _record(
            analytics_storage=_text(("Yes", "No"), denied.astype(np.int64)),
            ads_storage=_text(("Yes", "No"), denied * 1),
        ),
        "user_first_touch_timestamp": pa.array(ts - ts % 86_400_000_000),
        "device": _record(
            category=_text(("mobile", "desktop", "tablet"), visitor % 3),
            operating_system=_text(("Android", "iOS", "Windows", "Macintosh"), visitor % 4),
            language=_text(("de-de", "en-us", "en-gb"), visitor % 3),
        ),
        "geo": _record(
            continent=pa.repeat("Europe", rows),
            country=_text(_COUNTRIES, visitor % 6),
            city=_text([f"city {n}" for n in range(200)], visitor % 200),
        ),
        "stream_id": pa.repeat("4711", rows),
        "platform": pa.repeat("WEB", rows),
        "ecommerce": _record(
            transaction_id=pa.array([f"#{t % 1_000_000_007}" for t in ts.tolist()], pa.string(), mask=name != _BOUGHT)
        ),
        "items": _items(draws, name),
    }
    return pa.table(columns)


def _parameters(draws: np.random.Generator, facts: Mapping[str, Ints]) -> pa.ListArray:
    """Each event's parameters, row after row."""
    name, page = facts["name"], facts["page"]
    rows = len(name)
    texts, places = _texts()
    codes = np.full((rows, len(_PARAMETERS)), -1)
    numbers = np.zeros((rows, len(_PARAMETERS)), np.int64)
    there = np.ones((rows, len(_PARAMETERS)), bool)
    codes[:, _PAGE], codes[:, _TITLE] = places["pages"] + page, places["titles"] + page
    codes[:, _REFERRER] = places["referrers"] + page % 50
    codes[:, _ENGAGED_TEXT] = np.where(draws.random(rows) < 0.5, places["one"], -1)
    codes[:, _ABOUT] = places["content"] + np.where(name == _CLICK, draws.integers(0, _CONTENT, rows), page)
    codes[:, _SOURCE], codes[:, _MEDIUM] = places["sources"] + page % 5, places["media"] + page % 3
    numbers[:, _SESSION], numbers[:, _NUMBER] = facts["session"], facts["visitor"] % 9 + 1
    numbers[:, _TIME] = draws.exponential(9_000, rows)
    numbers[:, [_ENGAGED_TEXT, _ENGAGED_INT]], numbers[:, _PERCENT] = 1, 90
    there[:, _REFERRER] = draws.random(rows) < 0.7
    there[:, _TIME] = (name != _VIEW) & (name != _START)
    there[:, _ENGAGED_INT] = name != _START
    there[:, _ABOUT] = ((name == _VIEW) & (page % 10 > 0)) | (name == _CLICK)
    there[:, _SOURCE] = there[:, _MEDIUM] = draws.random(rows) < 0.3
    there[:, _PERCENT] = name == _SCROLL
    flat, absent = codes[there], pa.nulls(int(there.sum()), pa.float64())
    value = _record(
        string_value=texts.take(pa.array(flat, mask=flat < 0)),
        int_value=pa.array(numbers[there], mask=flat >= 0),
        float_value=absent,
        double_value=absent,
    )
    keys = _text(_PARAMETERS, np.broadcast_to(np.arange(len(_PARAMETERS)), there.shape)[there])
    return pa.ListArray.from_arrays(_offsets(there.sum(axis=1)), _record(key=keys, value=value))


def _texts() -> tuple[pa.Array, Mapping[str, int]]:
    """All texts that parameters have, and where each kind begins."""
    kinds = {
        "pages": [f"https://www.example.com/guides/topic-{n % 97}/how-to-do-it-well-{n}/" for n in range(_CONTENT)],
        "titles": [f"How to do it well, part {n} | Example company" for n in range(_CONTENT)],
        "content": [f"content-{n}" for n in range(_CONTENT)],
        "referrers": [f"https://search.example.org/results?page={n}" for n in range(50)],
        "sources": ["google", "bing", "newsletter", "(direct)", "linkedin"],
        "media": ["organic", "email", "(none)"],
        "one": ["1"],
    }
    places, texts = {}, []
    for kind, listed in kinds.items():
        places[kind] = len(texts)
        texts += listed
    return pa.array(texts), places


def _items(draws: np.random.Generator, name: Ints) -> pa.ListArray:
    """Five items a list, one to three a purchase, and none elsewhere."""
    counts = np.select([name == _LIST, name == _BOUGHT], [5, draws.integers(1, 4, len(name))], 0)
    total = int(counts.sum())
    content = draws.integers(0, _CONTENT, total)
    place = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
    record = _record(
        item_id=_text([f"content-{n}" for n in range(_CONTENT)], content),
        item_name=_text([f"How to do it well, part {n}" for n in range(_CONTENT)], content),
        price=pa.array(content % 90 + 0.99),
        quantity=pa.array(content % 3 + 1),
        index=pa.array(place + 1),
    )
    return pa.ListArray.from_arrays(_offsets(counts), record)


def _offsets(counts: Any) -> pa.Array:
    return pa.array(np.r_[0, np.cumsum(counts)], pa.int32())


def _record(**columns: pa.Array) -> pa.StructArray:
    return pa.StructArray.from_arrays(list(columns.values()), names=list(columns))


def _text(values: Any, codes: Any) -> pa.Array:
    return pa.array(list(values), pa.string()).take(pa.array(codes))


if __name__ == "__main__":
    main()
