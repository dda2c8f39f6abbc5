"""Sessions and their vectors. A session ends where a person was silent for more than 30 minutes; midnight does not end one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features.history import DAY, Flags, Floats, History, Ints

GAP = 30 * 60 * 1_000_000
"""Microseconds; exactly 30 minutes apart is still the same session (GA4's definition)."""

MIX = (
    ("view", ("view",)),
    ("click", ("click",)),
    ("social", ("like", "save", "share", "comment", "follow")),
    ("purchase", ("purchase",)),
)
"""The parts of a session's event mix."""

HALF_LIFE_DAYS = 7.0


@dataclass(frozen=True)
class Sessions:
    """The sessions of a history, in its order; `of_row` says which session each row belongs to."""

    of_row: Ints
    person: Ints
    start: Ints
    end: Ints
    events: Floats
    dwell: Floats

    @property
    def count(self) -> int:
        return len(self.person)

    @property
    def minutes(self) -> Floats:
        return (self.end - self.start) / 60e6


def sessionize(history: History) -> Sessions:
    """Cut every person's rows (impressions too: they prove presence) into sessions.

    The session that is open at the night ends at its last known row: it is never completed from the future.
    """
    if not history.rows:
        nothing = np.zeros(0, np.int64)
        return Sessions(nothing, nothing, nothing, nothing, np.zeros(0), np.zeros(0))
    first = np.empty(history.rows, bool)
    first[0] = True
    first[1:] = (np.diff(history.person) != 0) | (np.diff(history.ts) > GAP)
    of_row = np.cumsum(first) - 1
    starts = np.flatnonzero(first)
    ends = np.append(starts[1:], history.rows) - 1
    active = history.active.astype(np.float64)
    return Sessions(
        of_row=of_row,
        person=history.person[starts],
        start=history.ts[starts],
        end=history.ts[ends],
        events=np.bincount(of_row, weights=active, minlength=len(starts)),
        dwell=np.bincount(of_row, weights=np.nan_to_num(history.dwell), minlength=len(starts)),
    )


def session_features(history: History, sessions: Sessions) -> pa.Table:
    """One row a person, in the order of `history.people`: counts, lengths, the last session, and decayed mean vectors.

    Counts are of the last 30 days; `session_*` means and `mix_*` shares weigh each session by 2^(-age / 7 days).
    """
    people = len(history.people)
    age = (history.as_of - sessions.end) / DAY
    weight = np.exp2(-age / HALF_LIFE_DAYS)
    columns = {
        "sessions_30d": _sum(sessions.person, (age <= 30).astype(np.float64), people),
        "session_minutes": _mean(sessions.person, sessions.minutes, weight, people),
        "session_depth": _mean(sessions.person, sessions.events, weight, people),
        "session_dwell_seconds": _mean(sessions.person, sessions.dwell, weight, people),
        **_last(sessions, people),
    }
    for name, share in _mix(history, sessions).items():
        columns[f"mix_{name}"] = _mean(sessions.person, share, weight, people)
    return pa.table(columns)


def last_session_rows(history: History, sessions: Sessions) -> Flags:
    """Which rows belong to their person's last session."""
    last = np.zeros(len(history.people), np.int64)
    np.maximum.at(last, sessions.person, np.arange(sessions.count))
    return sessions.of_row == last[history.person]


def _last(sessions: Sessions, people: int) -> dict[str, Floats]:
    last = np.full(people, -1, np.int64)
    np.maximum.at(last, sessions.person, np.arange(sessions.count))
    columns = {"last_session_minutes": sessions.minutes, "last_session_depth": sessions.events}
    return {
        name: np.where(last >= 0, values[last] if sessions.count else np.nan, np.nan)
        for name, values in columns.items()
    }


def _mix(history: History, sessions: Sessions) -> dict[str, Floats]:
    """Each session's share of each kind of event among what the person did in it."""
    total = np.maximum(sessions.events, 1)
    counts = {
        name: np.bincount(sessions.of_row, weights=history.is_kind(*kinds).astype(np.float64), minlength=sessions.count)
        for name, kinds in MIX
    }
    return {name: count / total for name, count in counts.items()}


def _sum(index: Ints, values: Floats, size: int) -> Floats:
    return np.bincount(index, weights=values, minlength=size).astype(np.float64)


def _mean(index: Ints, values: Floats, weights: Floats, size: int) -> Floats:
    """Weighted mean; NaN for whoever has no session."""
    total = _sum(index, weights, size)
    return np.divide(_sum(index, values * weights, size), total, out=np.full(size, np.nan), where=total > 0)
