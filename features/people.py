"""Everything known about each person on one night: activity, RFM and session vectors."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from features.history import Floats, History
from features.rfm import rfm_features
from features.sessions import Sessions, session_features

WINDOWS_DAYS = (1, 7, 30)
_PRIOR_SHOWN = 20.0


def person_features(history: History, sessions: Sessions) -> pa.Table:
    """One row a person, sorted by `person_id`: `person_id` and one float64 column a feature (see `features.spec`)."""
    columns: dict[str, pa.Array] = {"person_id": pa.array(history.people, pa.int64())}
    columns.update(_activity(history))
    for part in (rfm_features(history), session_features(history, sessions)):
        columns.update({name: part[name].combine_chunks() for name in part.column_names})
    return pa.table(columns)


def _activity(history: History) -> dict[str, pa.Array]:
    active = history.active
    found: dict[str, Floats] = {f"events_{d}d": history.per_person(active & history.within(d)) for d in WINDOWS_DAYS}
    shown = history.per_person(history.is_kind("impression") & history.within(30))
    found["shown_30d"] = shown
    for name, flags in history.goals.items():
        counts = history.per_person(flags & history.within(30))
        found[f"{name}_30d"] = counts
        overall = counts.sum() / max(shown.sum(), 1.0)
        found[f"{name}_per_shown_30d"] = (counts + overall * _PRIOR_SHOWN) / (shown + _PRIOR_SHOWN)
    doings = history.per_person(active)
    mobile = history.per_person(active & history.mobile)
    found["mobile_share"] = np.divide(mobile, doings, out=np.full(len(doings), np.nan), where=doings > 0)
    return {name: pa.array(values, pa.float64()) for name, values in found.items()}
