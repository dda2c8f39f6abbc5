"""Invent a company: write nightly GA4, HubSpot, Shopify and WordPress exports of a world whose truth is known.

ga4/events_YYYYMMDD.parquet        shopify/orders_YYYYMMDD.csv       truth/people.parquet
hubspot/contacts_YYYYMMDD.csv      wordpress/posts_YYYYMMDD.json     truth/engagement.parquet
simulation.json                    the parameters and counts, written last

Where tastes shift on a day, exports of the days before it are byte for byte those of the world in which they do not,
and truth/shift.parquet says how.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.report import Report
from pipeline.simulation import activity, ga4, hubspot, shopify, truth, wordpress
from pipeline.simulation import world as worlds
from pipeline.simulation.draws import Ints
from pipeline.simulation.facts import Day
from pipeline.simulation.world import State, World

VERSION = 1
"""Of the world and its writers: raised whenever the same parameters would give other bytes."""

_STATED, _STARTED = "simulation.json", "simulation.unfinished.json"
_FOLDERS = ("ga4", "hubspot", "shopify", "wordpress", "truth")


@dataclass(frozen=True)
class Counts:
    """What was written: CRM contacts at the end, and the rest over all days."""

    contacts: int = 0
    sessions: int = 0
    events: int = 0
    impressions: int = 0
    clicks: int = 0
    reads: int = 0
    orders: int = 0
    refunds: int = 0

    def __add__(self, other: Counts) -> Counts:
        """Add field by field."""
        return Counts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True)
class SimulateReport(Report):
    """`made`: False when the folder already held this very simulation and nothing was written."""

    made: bool
    out: Path
    first_day: date
    last_day: date
    people: int
    content: int
    counts: Counts
    paths: tuple[Path, ...]


def run(
    out: Path,
    *,
    days: int = 30,
    people: int = 2000,
    content: int = 300,
    seed: int = 7,
    end: date,
    shift: date | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SimulateReport:
    """Write `days` days of exports, the last being `end`, and the truth about the day after it, under `out`.

    `people` are those with at least one event; `content` is all pieces ever, half of them older than the first day.
    From `shift` on, a day after the first, whoever cared for a category cares as much for another in its place, the
    same for everybody.
    The same parameters give the same bytes. A finished simulation of the same parameters is left as it is, an
    unfinished one is made again; any other export in `out` raises ConfigurationError before a byte is written.
    `progress(done, total)` is called after each day and after the truth.
    """
    parameters = _checked(days, people, content, seed, end, shift)
    first_day = end - timedelta(days=days - 1)
    counts = _finished(out, parameters)
    made = counts is None
    if counts is None:
        _claim(out, parameters)
        start_us = int(datetime.combine(first_day, time(), UTC).timestamp()) * 1_000_000
        shifts_on = (shift - first_day).days if shift else None
        world = worlds.build(days=days, people=people, content=content, seed=seed, start_us=start_us, shift=shifts_on)
        counts = _write_all(out, world, first_day, progress)
        _state(out, parameters, counts)
    paths = (*(p for day in range(days) for p in _exports(out, first_day + timedelta(days=day))), *_truths(out, shift))
    return SimulateReport(made, out, first_day, end, people, content, counts, (*paths, out / _STATED))


def _checked(days: int, people: int, content: int, seed: int, end: date, shift: date | None) -> dict[str, Any]:
    """The parameters as simulation.json states them, once they make a world; no `shift` where there is none."""
    for name, value, least in (("days", days, 1), ("people", people, 20), ("content", content, 24), ("seed", seed, 0)):
        if value < least:
            raise ConfigurationError(f"simulate: {name} must be at least {least}, got {value}")
    second = end - timedelta(days=days - 2)
    if shift is not None and not second <= shift <= end:
        raise ConfigurationError(
            f"simulate: shift must be a day after the first and not after the last, {second} to {end}, got {shift}"
        )
    return {
        "version": VERSION,
        "days": days,
        "people": people,
        "content": content,
        "seed": seed,
        "end": end.isoformat(),
        **({"shift": shift.isoformat()} if shift else {}),
    }


def _finished(out: Path, parameters: dict[str, Any]) -> Counts | None:
    """The counts of the finished simulation of these parameters in `out`; None where there is none at all."""
    stated = _read(out / _STATED)
    if stated is None:
        return None
    _refuse_other(out, _STATED, stated["parameters"], parameters)
    return Counts(**stated["counts"])


def _claim(out: Path, parameters: dict[str, Any]) -> None:
    """Mark `out` as ours before the first file, so that nobody's real exports are ever written over."""
    started = _read(out / _STARTED)
    if started is not None:
        _refuse_other(out, _STARTED, started["parameters"], parameters)
        return
    taken = [f for f in _FOLDERS if (out / f).is_dir() and any((out / f).iterdir())]
    if taken:
        raise ConfigurationError(
            f"simulate: {out} already holds {', '.join(f'{f}/' for f in taken)} that no simulation wrote; "
            "choose an empty folder"
        )
    for folder in _FOLDERS:
        (out / folder).mkdir(parents=True, exist_ok=True)
    _place(out / _STARTED, _json({"parameters": parameters}))


def _refuse_other(out: Path, name: str, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    different = [
        f"{k} {found.get(k)} (asked for {wanted.get(k)})" for k in {**wanted, **found} if found.get(k) != wanted.get(k)
    ]
    if different:
        raise ConfigurationError(
            f"simulate: {out / name} is of another simulation: {', '.join(different)}; "
            "choose another folder, or delete this one"
        )


def _read(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        stated: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ShortlistError(f"simulate: {path} is not JSON ({error}); delete the folder and run again") from error
    return stated


def _write_all(out: Path, world: World, first_day: date, progress: Callable[[int, int], None] | None) -> Counts:
    """Live the days one after the other, writing each; then the truth about the next."""
    state, total = worlds.first_state(world), Counts(contacts=len(world.people.contacts))
    contacts, posts = hubspot.Contacts(world), wordpress.Posts(world.catalogue)
    numbers: Ints = world.people.earlier_sessions
    orders: list[shopify.Order] = []
    for number in range(world.days):
        day = activity.live(world, state, numbers)
        paid = shopify.orders_of(world, day, len(orders))
        refunded = [o for o in orders if o.refunded_on == number]
        on = first_day + timedelta(days=number)
        events_file, contacts_file, orders_file, posts_file = _exports(out, on)
        _place_table(events_file, [ga4.events_table(world, day, on, len(orders))])
        _place(contacts_file, contacts.export(number))
        _place(orders_file, shopify.orders_csv(world, paid, refunded))
        _place(posts_file, posts.export(world.midnight(number + 1)))
        total += _counted(day, refunded)
        orders += paid
        numbers = numbers + np.bincount(day.sessions.cookie, minlength=len(numbers))
        state = worlds.next_state(world, state, *day.opened)
        _tell(progress, number + 1, world.days + 1)
    _write_truth(out, world, state)
    _tell(progress, world.days + 1, world.days + 1)
    return total


def _write_truth(out: Path, world: World, state: State) -> None:
    people, engagement, *shifted = _truths(out, world.shift)
    _place_table(people, [truth.people_table(world)])
    for path in shifted:
        _place_table(path, [truth.shift_table(world)])
    _place_table(engagement, truth.engagement_tables(world, state))


def _counted(day: Day, refunded: list[shopify.Order]) -> Counts:
    return Counts(
        sessions=len(day.sessions.person),
        events=len(day.events.ts),
        impressions=len(day.slots.content),
        clicks=len(day.visits.content),
        reads=int((day.visits.dwell_ms >= worlds.READ_SECONDS * 1000).sum()),
        orders=len(day.orders),
        refunds=len(refunded),
    )


def _exports(out: Path, day: date) -> tuple[Path, Path, Path, Path]:
    return (
        out / "ga4" / f"events_{day:%Y%m%d}.parquet",
        out / "hubspot" / f"contacts_{day:%Y%m%d}.csv",
        out / "shopify" / f"orders_{day:%Y%m%d}.csv",
        out / "wordpress" / f"posts_{day:%Y%m%d}.json",
    )


def _truths(out: Path, shift: date | int | None) -> tuple[Path, ...]:
    names = (truth.PEOPLE, truth.ENGAGEMENT, *([] if shift is None else [truth.SHIFT]))
    return tuple(out / "truth" / name for name in names)


def _state(out: Path, parameters: dict[str, Any], counts: Counts) -> None:
    _place(out / _STATED, _json({"parameters": parameters, "counts": asdict(counts)}))
    (out / _STARTED).unlink()


def _json(value: dict[str, Any]) -> bytes:
    return f"{json.dumps(value, indent=2)}\n".encode()


def _place(path: Path, content: bytes) -> None:
    partial = _partial(path)
    partial.write_bytes(content)
    partial.replace(path)


def _place_table(path: Path, tables: Iterable[pa.Table]) -> None:
    """Write tables of one schema as one zstd Parquet file."""
    parts = iter(tables)
    first = next(parts)
    with pq.ParquetWriter(_partial(path), first.schema, compression="zstd") as writer:
        writer.write_table(first)
        for table in parts:
            writer.write_table(table)
    _partial(path).replace(path)


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def _tell(progress: Callable[[int, int], None] | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)
