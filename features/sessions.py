"""Sessions and their vectors: a session ends where a person was silent for more than 30 minutes; midnight ends none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features.history import DAY, Flags, Floats, History, Ints

GAP = 30 * 60 * 1_000_000
"""Microseconds; exactly 30 minutes apart is still the same session (GA4's definition)."""

HALF_LIFE_DAYS = 7.0


@dataclass(frozen=True)
class Sessions:
    """The sessions of a history, in its order; `of_row` says which session each row belongs to, -1 for none."""

    of_row: Ints
    person: Ints
    start: Ints
    end: Ints
    events: Floats
    dwell: Floats

    @property
    def count(self) -> int:
        """How many sessions there are."""
        return len(self.person)


def sessionize(history: History) -> Sessions:
    """Cut every person's rows into sessions: impressions prove presence, a refund is the shop's doing and is in none.

    The session that is open at the night ends at its last known row: it is never completed from the future.
    """
    present = np.flatnonzero(~history.is_kind("refund"))
    person, ts = history.person[present], history.ts[present]
    first = np.ones(len(present), bool)
    first[1:] = (np.diff(person) != 0) | (np.diff(ts) > GAP)
    session = np.cumsum(first) - 1
    of_row = np.full(history.rows, -1, np.int64)
    of_row[present] = session
    starts = np.flatnonzero(first)
    ends = np.append(starts[1:], len(present))[: len(starts)] - 1
    active = history.active[present].astype(np.float64)
    dwell = np.nan_to_num(history.dwell[present])
    return Sessions(
        of_row=of_row,
        person=person[starts],
        start=ts[starts],
        end=ts[ends],
        events=_sum(session, active, len(starts)),
        dwell=_sum(session, dwell, len(starts)),
    )


def category_mix(history: History, sessions: Sessions) -> pa.Table:
    """Each person's sessions by category, long form: `person_id`, `category`, `session_share`, `last_session_share`.

    A share is of what the person did in a session; `session_share` is its mean over sessions, each weighing
    2^(-age / 7 days). Only categories that the person did something in, sorted by person and category.
    """
    people, groups = len(history.people), max(len(history.catalogue.categories), 1)
    code = history.catalogue.category[history.content] if history.rows else np.zeros(0, np.int32)
    rows = np.flatnonzero(history.active & (code >= 0))
    keys, at = np.unique(history.person[rows] * groups + code[rows], return_inverse=True)
    person, session = keys // groups, sessions.of_row[rows]
    share = 1 / sessions.events[session]
    weight = _weight(history, sessions)
    last = last_session_rows(history, sessions)[rows]
    mean = _sum(at, share * weight[session], len(keys)) / _sum(sessions.person, weight, people)[person]
    names = pa.array(history.catalogue.categories, pa.string())
    return pa.table(
        {
            "person_id": pa.array(history.people[person], pa.int64()),
            "category": names.take(pa.array(keys % groups)),
            "session_share": pa.array(mean, pa.float64()),
            "last_session_share": pa.array(_sum(at, share * last, len(keys)), pa.float64()),
        }
    )


def last_session_rows(history: History, sessions: Sessions) -> Flags:
    """Which rows belong to their person's last session."""
    last = np.zeros(len(history.people), np.int64)
    np.maximum.at(last, sessions.person, np.arange(sessions.count))
    found: Flags = sessions.of_row == last[history.person]
    return found


def _weight(history: History, sessions: Sessions) -> Floats:
    """2^(-age / 7 days) of each session."""
    weight: Floats = np.exp2((sessions.end - history.as_of) / DAY / HALF_LIFE_DAYS)
    return weight


def _sum(index: Ints, values: Floats, size: int) -> Floats:
    return np.bincount(index, weights=values, minlength=size).astype(np.float64)
