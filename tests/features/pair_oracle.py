"""What connects people with contents, by counting by hand: a request at a time, in plain Python."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from features.history import DAY, KINDS
from features.pair_kernel import REQUESTS
from features.pair_measures import (
    ENGAGED,
    Affinity,
    Count,
    Dwell,
    Groups,
    LastSession,
    Measured,
    Response,
    Since,
    Unanswered,
)
from features.pair_measures import KINDS as GROUPS_OF
from features.pair_spec import PAIRS, PairFeature, PairSpec
from tests.features.logs import CONTENTS, PEOPLE, content_of
from tests.features.shards import AS_OF, Event, ages

GROUPS = Groups.of(content_of())

FURTHER = (
    *(Affinity(kind, h) for kind in ("author", "format", "source") for h in ("1h", "7d")),
    Affinity("tag", "1d"),
    Count("view", "content", 1),
    Count("refund", "category", 14),
    Dwell("active", "category", 30),
    Dwell("view", "content"),
    Since("refund", "category", 90),
    Since("social", "person", 7),
)
"""Measures that the house's own features do not use, or not like this."""

SPEC = PairSpec(GROUPS, features=(*PAIRS, *(PairFeature(repr(measure), "any", "any", measure) for measure in FURTHER)))
CHANNELS = SPEC.channels


class Request(NamedTuple):
    """One request; `age` is how long before AS_OF it is made, in microseconds."""

    person: int = 1
    age: int = 0
    content: str = "c0"

    @property
    def as_of(self) -> datetime:
        """Its instant."""
        return AS_OF - timedelta(microseconds=self.age)


def requests_of(asked: Sequence[Request]) -> pa.Table:
    """Their table."""
    columns = [[r.person for r in asked], [r.as_of for r in asked], [r.content for r in asked]]
    return pa.table(columns, schema=REQUESTS)


def requests(rows: Sequence[Event], max_size: int = 12) -> st.SearchStrategy[list[Request]]:
    """Requests at the very instants of rows, a microsecond later, at nights, and before anything; some twice."""
    instants = st.one_of(ages(), st.sampled_from([row.age for row in rows] or [0]), st.just(600 * DAY))
    one = st.builds(
        lambda person, age, nudge, content: Request(person, age - nudge, content),
        st.sampled_from((*PEOPLE, 99)),
        instants,
        st.sampled_from([0, 1]),
        st.sampled_from((*CONTENTS, "never heard of")),
    )
    return st.lists(one, max_size=max_size).map(lambda found: found + found[:2])


def many_requests(rows: Sequence[Event], count: int, seed: int = 6) -> list[Request]:
    """About people and contents of a log, half of them at an instant at which something happened."""
    rng = np.random.default_rng(seed)
    return [
        Request(
            person=rows[rng.integers(len(rows))].person,
            age=int(rows[rng.integers(len(rows))].age if rng.random() < 0.5 else rng.integers(-2, 300) * DAY),
            content=str(rng.choice(CONTENTS)),
        )
        for _ in range(count)
    ]


# ---------------------------------------------------------------- by hand


def answer(rows: Sequence[Event], request: Request, spec: PairSpec = SPEC) -> dict[str, float]:
    """Every feature of a request, from the rows that may be known to it."""
    known = sorted(
        (row for row in rows if row.person == request.person and row.is_known(request.as_of)), key=lambda row: row.ts
    )
    return {f.name: _measured(f.measure, known, request) for f in spec.features if not isinstance(f.measure, Response)}


def _measured(measure: Measured, known: Sequence[Event], request: Request) -> float:
    match measure:
        case Affinity():
            names = groups(measure.kind, request.content)
            shares = taste(known, measure.kind, measure.half_life, request.as_of)
            return math.fsum(shares.get(name, 0.0) for name in names) / len(names) if names else measure.without
        case LastSession():
            return _last_session(known, request)
        case Unanswered():
            return _unanswered(known, request.content)
        case Since():
            recent = _within(_scoped(known, measure.scope, request) or [], measure.days, request.as_of)
            ages = [_age(row, request.as_of) for row in recent if is_a(row, measure.of)]
            return min(ages) / DAY if ages else math.nan
        case Count() | Dwell():
            scoped = _scoped(known, measure.scope, request)
            if scoped is None:
                return math.nan
            chosen = [row for row in _within(scoped, measure.days, request.as_of) if is_a(row, measure.of)]
            return (
                len(chosen) if isinstance(measure, Count) else sum(round((r.dwell or 0) * 1000) for r in chosen) / 1e3
            )
    raise TypeError(measure)


def taste(known: Iterable[Event], kind: str, half_life: str, as_of: datetime) -> dict[str, float]:
    """The affinity to each group of a kind."""
    days = {"1h": 1 / 24, "1d": 1, "7d": 7, "30d": 30}[half_life]
    weighed = [(row, strength(row) * 2 ** -(_age(row, as_of) / DAY / days)) for row in known if is_a(row, "active")]
    whole = math.fsum(weight for _, weight in weighed) + 1
    found: dict[str, list[float]] = {}
    for row, weight in weighed:
        names = ([row.channel] if row.channel in CHANNELS else []) if kind == "source" else groups(kind, row.content)
        for name in names:
            found.setdefault(str(name), []).append(weight / len(names))
    return {name: math.fsum(weights) / whole for name, weights in found.items()}


def groups(kind: str, content: str | None) -> tuple[str, ...]:
    """The content's groups of a kind."""
    assert kind in GROUPS_OF
    by_content: Mapping[str, tuple[str, ...]] = GROUPS.names.get(kind, {})  # type: ignore[call-overload]
    return by_content.get(content or "", ())


def strength(row: Event) -> float:
    """How much a row says about taste."""
    weights = {"view": 1, "click": 1, "follow": 2, "purchase": 5, "impression": 0, "refund": 0}
    weights |= dict.fromkeys(("like", "save", "share", "comment"), 3)
    return weights.get(row.event, 1) + (2 if _milliseconds(row) >= 30_000 else 0)


def _milliseconds(row: Event) -> int:
    return round((row.dwell or 0) * 1000)


def is_a(row: Event, of: str) -> bool:
    """Whether a row is of a class."""
    kind = row.event if row.event in KINDS else "other"
    return {
        "any": True,
        "active": kind not in {"impression", "refund"},
        "engaged": kind in ENGAGED,
        "social": kind in {"like", "save", "share", "comment", "follow"},
    }.get(of, kind == of)


def _scoped(known: Sequence[Event], scope: str, request: Request) -> list[Event] | None:
    if scope == "person":
        return list(known)
    if scope == "content":
        return [row for row in known if row.content == request.content]
    category = groups("category", request.content)
    return [row for row in known if groups("category", row.content) == category] if category else None


def _within(rows: Iterable[Event], days: int | None, as_of: datetime) -> list[Event]:
    return [row for row in rows if days is None or _age(row, as_of) <= days * DAY]


def _age(row: Event, as_of: datetime) -> int:
    return (as_of - row.ts) // timedelta(microseconds=1)


def _last_session(known: Sequence[Event], request: Request) -> float:
    category = groups("category", request.content)
    session: list[Event] = []
    for row in known:
        if row.event == "refund":
            continue
        if session and row.ts - session[-1].ts > timedelta(minutes=30):
            session = []
        session.append(row)
    active = [row for row in session if is_a(row, "active")]
    mine = sum(strength(row) for row in active if groups("category", row.content) == category)
    return mine / (sum(map(strength, active)) + 1) if category else math.nan


def _unanswered(known: Sequence[Event], content: str) -> int:
    mine = [row for row in known if row.content == content]
    last = max((row.ts for row in mine if is_a(row, "engaged")), default=None)
    return sum(row.event == "impression" and (last is None or row.ts > last) for row in mine)
