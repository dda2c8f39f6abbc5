"""A lake of 90 days of events, of any size, for measuring what features cost; or of more days, up to the same night.

    python -m benchmarks.event_log folder --events 10_000_000

About 100 events a person in 90 days: activity is log-normal, content Zipf-distributed, and more than half of what
somebody looks at is in the category that the person prefers. One session in 500 arrives late. Days come one by one, so
memory does not grow with their number, and are written as ingest writes them. The same seed gives the same rows.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from expectations import schemas
from pipeline import scratch
from pipeline.day_files import ORDER, DayFiles
from pipeline.lake import Lake
from pipeline.shards import shard_of
from pipeline.spool import PLACE, Spool, sorted_by

DAYS = 90
FIRST = date(2026, 4, 2)
CATEGORIES = tuple(f"topic_{n:02d}" for n in range(24))
CHANNELS = ("web", "app", "email", "push", "social", "search", "kiosk")
CATALOGUE = "catalogue.parquet"
SOURCE = "web"

_DAY = 86_400_000_000
_KINDS = ("impression", "view", "click", "like", "save", "share", "purchase", "refund", "custom:scroll")
_MIX = (0.40, 0.32, 0.15, 0.04, 0.02, 0.01, 0.03, 0.01, 0.02)
_IMPRESSION, _VIEW, _PURCHASE, _REFUND = (_KINDS.index(kind) for kind in ("impression", "view", "purchase", "refund"))
_DEVICES, _COUNTRIES = ("mobile", "desktop", "tablet"), ("DE", "AT", "CH", "GB", "US")
_IN_A_SESSION = 5
_LATE = 0.002
LATEST_DAYS = 2
"""How late a session arrives, at the most."""

Draws = np.random.Generator
Ints = NDArray[np.int64]
Columns = dict[str, NDArray[Any]]


def main() -> None:
    """Write the lake that the command line asks for."""
    parser = argparse.ArgumentParser(description="Write a lake of synthetic events.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--days", type=int, default=DAYS)
    given = parser.parse_args()
    write(given.folder, given.events, given.seed, days=given.days)


def lake_in(home: Path) -> Lake:
    """The lake that `write` makes in a folder."""
    return Lake(home / "lake", home / "published", home / "state")


@dataclass(frozen=True)
class Company:
    """Whose log it is, where it matters what people are called and how large the catalogue is.

    It logs no impressions: who learns from such a log learns what people turn to, which is what the log is made of.
    """

    people: Ints
    contents: int


def write(home: Path, events: int, seed: int = 7, company: Company | None = None, days: int = DAYS) -> None:
    """About `events` events, a file a day and source, and the catalogue beside the lake: content and category."""
    lake, world = lake_in(home), _World.of(np.random.default_rng(seed), events, company, days)
    for day, rows in world.days():
        with scratch.folder_in(lake.staging) as folder:
            spool, files = Spool(folder, "events"), DayFiles(folder, "events", SOURCE)
            spool.add(rows)
            for group in spool.groups():
                files.add(sorted_by(group.drop_columns([PLACE]), ("day", *ORDER["events"])))
            lake.adopt("events", files.close(), SOURCE, day)
    catalogue = {"content_id": world.content, "category": _text(CATEGORIES, np.arange(len(world.content)) % 24)}
    pq.write_table(pa.table(catalogue), home / CATALOGUE)


@dataclass(frozen=True)
class _World:
    """Who does what: `active` and `popular` are cumulated shares, `popular_in` within a category."""

    draws: Draws
    length: int
    """In days."""
    sessions: int
    """That begin on a day."""
    people: Ints
    active: NDArray[np.float64]
    content: pa.Array
    popular: NDArray[np.float64]
    popular_in: NDArray[np.float64]
    mix: NDArray[np.float64]

    @classmethod
    def of(cls, draws: Draws, events: int, company: Company | None, days: int) -> _World:
        """A company with that many events in all."""
        lately = events * DAYS // days
        people = max(lately // 100, 1)
        contents = int(np.interp(lately, [1e6, 1e7, 5e7], [2_000, 20_000, 50_000]))
        ids: Ints = draws.integers(np.iinfo(np.int64).min, np.iinfo(np.int64).max, people)
        mix = np.array(_MIX)
        if company:
            ids, contents, mix[_IMPRESSION] = company.people, company.contents, 0.0
        contents = contents // len(CATEGORIES) * len(CATEGORIES)
        content = pa.array([f"content-{n}" for n in range(contents)])
        popular, popular_in = (_cumulated(np.arange(1.0, n + 1) ** -1.05) for n in (contents, contents // 24))
        active = _cumulated(draws.lognormal(0, 1.25, len(ids)))
        sessions = max(events // days // _IN_A_SESSION, 1)
        return cls(draws, days, sessions, ids, active, content, popular, popular_in, mix / mix.sum())

    def days(self) -> Iterator[tuple[date, pa.Table]]:
        """The rows of each day, in no order. A session may go on after midnight."""
        left: list[Columns] = []
        for n in range(self.length):
            day = FIRST + timedelta(days=DAYS - self.length + n)
            midnight = (day - date(1970, 1, 1)).days * _DAY
            rows = _joined([*left, self._sessions(midnight)])
            over = rows["ts"] >= midnight + _DAY
            left = [_chosen(rows, over)]
            yield day, self._table(_chosen(rows, ~over), day)

    def _sessions(self, midnight: int) -> Columns:
        """The rows of the sessions that begin on a day."""
        sessions = self.sessions
        sizes = self.draws.geometric(1 / _IN_A_SESSION, sessions)
        session = np.repeat(np.arange(sessions), sizes)
        n = len(session)
        person = np.searchsorted(self.active, self.draws.random(sessions))
        began = midnight + (_DAY * self.draws.beta(3, 2, sessions)).astype(np.int64)
        gaps = np.where(self.draws.random(n) < 0.03, self.draws.uniform(0, 3600e6, n), self.draws.exponential(9e7, n))
        elapsed = np.cumsum(gaps.astype(np.int64))
        ts = (began - np.r_[0, elapsed][np.cumsum(sizes) - sizes])[session] + elapsed
        late = np.where(self.draws.random(sessions) < _LATE, self.draws.integers(0, LATEST_DAYS * _DAY, sessions), 0)
        return {
            "ts": ts,
            "available_at": ts + late[session],
            "person": person[session],
            "session": self.draws.integers(0, 1 << 62, sessions)[session],
            "channel": self.draws.integers(0, len(CHANNELS), sessions)[session],
            "kind": self.draws.choice(len(_KINDS), n, p=self.mix),
            "content": self._content(person[session]),
        }

    def _content(self, person: Ints) -> Ints:
        anything, preferred = (
            np.searchsorted(shares, self.draws.random(len(person))) for shares in (self.popular, self.popular_in)
        )
        return np.where(self.draws.random(len(person)) < 0.55, preferred * 24 + person % 24, anything)

    def _table(self, rows: Columns, day: date) -> pa.Table:
        """As the lake has it."""
        n, kind, person = len(rows["ts"]), rows["kind"], self.people[rows["person"]]
        price = np.round(5 + 60 * self.draws.random(n), 2)
        shop = kind == _REFUND
        columns = {
            "event_id": pa.array(self.draws.integers(1 << 60, 1 << 62, n)).cast(pa.string()),
            "ts": pa.array(rows["ts"]),
            "available_at": pa.array(rows["available_at"]),
            "shard": pa.array(shard_of(person)),
            "person_id": pa.array(person),
            "visitor_id": pa.array(person),
            "session_id": pa.array(rows["session"]),
            "content_id": self.content.take(pa.array(rows["content"])),
            "event": _text(_KINDS, kind),
            "dwell_seconds": pa.array(np.round(self.draws.lognormal(3, 1.2, n) % 3600, 1), mask=kind != _VIEW),
            "value": pa.array(np.where(shop, -price, price), mask=~(shop | (kind == _PURCHASE))),
            "position": pa.array(self.draws.integers(1, 21, n), pa.int32(), mask=kind != _IMPRESSION),
            "channel": _text(CHANNELS, np.where(shop, -1, rows["channel"])),
            "device": _text(_DEVICES, np.where(shop, -1, rows["person"] % 7 % 3)),
            "country": _text(_COUNTRIES, rows["person"] % 5),
            "source": pa.repeat(SOURCE, n),
            "day": pa.repeat(pa.scalar(day, pa.date32()), n),
        }
        return pa.table([_cast(columns.get(f.name), f, n) for f in _SCHEMA], schema=_SCHEMA)


_SCHEMA = schemas.LAKE["events"].schema


def _cast(column: pa.Array | None, field: pa.Field, rows: int) -> pa.Array:
    return pa.nulls(rows, field.type) if column is None else column.cast(field.type)


def _cumulated(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.cumsum(weights) / weights.sum()
    found[-1] = 1.0
    return found


def _joined(parts: list[Columns]) -> Columns:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _chosen(rows: Columns, which: NDArray[np.bool_]) -> Columns:
    return {name: column[which] for name, column in rows.items()}


def _text(words: tuple[str, ...], codes: NDArray[Any]) -> pa.Array:
    return pa.array(words, pa.string()).take(pa.array(codes, mask=codes < 0))


if __name__ == "__main__":
    main()
