"""Recency, frequency and monetary value: scores from learned cut-points, and named segments.

Quintiles as in marketing RFM (Bult & Wansbeek 1995). Cut-points are learned once, on training nights, and kept with the
model: equal people get equal scores, and a score means the same on every night. Intervals are closed on the right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Floats = NDArray[np.float64]  # not from `features.history`: the configuration needs our names, and not scipy

RAW = ("rfm_recency_days", "rfm_frequency_90d", "rfm_monetary_365d")
SCORES = ("r_score", "f_score", "m_score")
SEGMENTS = ("new", "champions", "loyal", "recent", "regular", "at risk", "dormant")
_QUINTILES = (0.2, 0.4, 0.6, 0.8)
_NEW_DAYS = 7.0


def cut_points(tables: Sequence[pa.Table]) -> dict[str, list[float]]:
    """The quintile cut-points of each raw value over the people of the training nights; tied cut-points are merged."""
    cuts = {}
    for name in RAW:
        values = np.concatenate([np.asarray(table[name].combine_chunks(), dtype=np.float64) for table in tables])
        values = values[~np.isnan(values)]
        cuts[name] = np.unique(np.quantile(values, _QUINTILES)).tolist() if len(values) else []
    return cuts


def scores(people: pa.Table, cuts: Mapping[str, Sequence[float]]) -> pa.Table:
    """`r_score`, `f_score`, `m_score` of each row of `people`, 1 to 5 (best); NaN where the raw value is unknown."""
    raw = {name: np.asarray(people[name].combine_chunks(), dtype=np.float64) for name in RAW}
    recency = 6 - _score(raw[RAW[0]], cuts[RAW[0]])
    return pa.table(
        {"r_score": recency, "f_score": _score(raw[RAW[1]], cuts[RAW[1]]), "m_score": _score(raw[RAW[2]], cuts[RAW[2]])}
    )


def segments(people: pa.Table, scored: pa.Table) -> pa.Array:
    """The named segment of each person: by tenure, then by recency and frequency scores."""
    tenure = np.asarray(people["tenure_days"].combine_chunks(), dtype=np.float64)
    r, f = (np.asarray(scored[name].combine_chunks(), dtype=np.float64) for name in ("r_score", "f_score"))
    conditions = [tenure < _NEW_DAYS, (r >= 4) & (f >= 4), (r >= 3) & (f >= 3), r >= 4, (r <= 2) & (f >= 3), r <= 2]
    names = ["new", "champions", "loyal", "recent", "at risk", "dormant"]
    return pa.array(np.select(conditions, names, default="regular").tolist(), pa.string())


def _score(values: Floats, cuts: Sequence[float]) -> Floats:
    """1 + how many cut-points lie below, spread over 1..5 when ties left fewer than four cut-points."""
    steps = max(len(cuts), 1)
    raw = np.searchsorted(np.asarray(cuts, dtype=np.float64), values, side="left")
    return np.where(np.isnan(values), np.nan, 1 + np.round(raw * 4 / steps))
