"""Everything known about each content on one night: age, popularity at several speeds, trend and response rates.

Popularity, trend, gravity and idleness are of everybody: an event of the crowd, of which nobody knows whose it is,
weighs like one of a person without engaged time, and each of its views is a reader. Counts of people, and rates, are of
known people alone, because only they can reach a goal.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from features.history import DAY, KINDS, STRENGTH, Floats, History

HALF_LIVES_DAYS = {"3h": 0.125, "1d": 1.0, "7d": 7.0}
BUSY_HALF_LIVES = {"0_2d": 0.2, "0_7d": 0.7, "4d": 4.0}
"""On the clock of `History.busy_days`."""
_PRIOR_REACHED = 5.0
_PRIOR_SHOWN = 50.0
_PRIOR_PEOPLE = 20.0
_VIEW = KINDS.index("view")


def content_features(history: History) -> pa.Table:
    """One row a content, sorted by `content_id`: `content_id`, `listed`, and one float64 column a feature."""
    catalogue = history.catalogue
    readers_1d, readers_7d = _readers(history, 1), _readers(history, 7)
    found: dict[str, Floats] = {
        "age_days": (history.as_of - catalogue.published) / DAY,
        "quality": catalogue.quality,
        "people_1d": _people(history, 1),
        "people_7d": _people(history, 7),
        "people_30d": _people(history, 30),
    }
    strength = history.strength
    for label, half_life in HALF_LIVES_DAYS.items():
        found[f"popularity_{label}"] = _popularity(history, strength, half_life)
    found["trend"] = (readers_1d + 1) / (readers_7d / 7 + 1)
    found["gravity"] = readers_7d / (np.maximum(found["age_days"], 0) + 0.5) ** 1.5
    found.update(_busy(history))
    found["idle_days"] = _idle_days(history)
    found["author_popularity_7d"] = _group_mean(catalogue.author, found["popularity_7d"])
    found["category_popularity_7d"] = _group_mean(catalogue.category, found["popularity_7d"])
    found.update(_rates(history, found["people_30d"]))
    columns = {name: pa.array(values, pa.float64()) for name, values in found.items()}
    return pa.table({"content_id": catalogue.ids, "listed": pa.array(catalogue.listed), **columns})


def _rates(history: History, people: Floats) -> dict[str, Floats]:
    """Smoothed goals per impression, or per reader where there are no impressions: (n + prior) / (shown + weight)."""
    shown = history.per_content(history.is_kind("impression") & history.within(30))
    exposure, weight = (shown, _PRIOR_SHOWN) if shown.any() else (people, _PRIOR_PEOPLE)
    found = {"shown_30d": shown}
    for name, flags in history.goals.items():
        counts = history.per_content(flags & history.within(30))
        overall = counts.sum() / max(exposure.sum(), 1.0)
        found[f"{name}_rate_30d"] = (counts + overall * weight) / (exposure + weight)
    return {f"content_{name}": values for name, values in found.items()}


def _busy(history: History) -> dict[str, Floats]:
    """Age, readers and gravity on the clock of what people do; and reach: readers by who was there to read it."""
    size, readings = history.catalogue.size, history.readings
    read, first, last = readings.content, readings.first, readings.last
    age, since = history.busy_days(history.catalogue.published), history.busy_days(last)
    readers = np.bincount(read, minlength=size).astype(np.float64)
    found: dict[str, Floats] = {"age_busy": age}
    for label, half_life in BUSY_HALF_LIVES.items():
        fading = np.exp2(-since / half_life)
        found[f"readers_busy_{label}"] = np.bincount(read, weights=fading, minlength=size).astype(np.float64)
    found["gravity_busy"] = readers / (age + 0.5) ** 1.5
    there = np.zeros(len(history.people), np.int64)
    np.maximum.at(there, readings.person, last)
    there.sort()
    yesterday = np.int64(history.as_of - DAY)
    for name, since_when, counted in (
        ("reach", history.catalogue.published, first >= 0),
        ("reach_1d", np.maximum(history.catalogue.published, yesterday), first >= yesterday),
    ):
        could = len(there) - np.searchsorted(there, since_when)
        found[name] = np.bincount(read[counted], minlength=size) / (could + _PRIOR_REACHED)
    return found


def _people(history: History, days: float) -> Floats:
    """Distinct people who did something with the content in the last `days`."""
    return np.bincount(history.readings.content[history.read_within(days)], minlength=history.catalogue.size).astype(
        np.float64
    )


def _readers(history: History, days: float) -> Floats:
    """The people of the last `days`, and the crowd's views."""
    crowd = history.crowd
    views = (crowd.kind == _VIEW) & (crowd.ts >= history.as_of - np.int64(days * DAY))
    return _people(history, days) + _of_crowd(history, np.where(views, crowd.count, 0.0))


def _popularity(history: History, strength: Floats, half_life_days: float) -> Floats:
    """Decayed activity of people, by the strength of each row, and of the crowd."""
    crowd = history.crowd
    decay = np.exp2(-(history.as_of - crowd.ts) / DAY / half_life_days)
    known = history.per_content(history.active, strength * history.decay(half_life_days))
    return known + _of_crowd(history, crowd.count * STRENGTH[crowd.kind] * decay)


def _of_crowd(history: History, weights: Floats) -> Floats:
    """Sum of `weights` over the crowd's rows, for each content."""
    return np.bincount(history.crowd.content, weights=weights, minlength=history.catalogue.size).astype(np.float64)


def _idle_days(history: History) -> Floats:
    last = history.catalogue.published.astype(np.float64)
    rows = history.active
    np.maximum.at(last, history.content[rows], history.ts[rows].astype(np.float64))
    np.maximum.at(last, history.crowd.content, history.crowd.ts.astype(np.float64))
    return (history.as_of - last) / DAY


def _group_mean(codes: np.ndarray, values: Floats) -> Floats:
    """The mean of the group that each content belongs to; NaN where it belongs to none."""
    known = codes >= 0
    groups = int(codes.max()) + 1 if known.any() else 0
    total = np.bincount(codes[known], weights=values[known], minlength=groups)
    size = np.bincount(codes[known], minlength=groups)
    means = total / np.maximum(size, 1)
    return np.where(known, means[np.maximum(codes, 0)] if groups else np.nan, np.nan)
