"""Everything known about each person on one night, as models and analysts read it: the kernel's answer, completed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.history import Floats, Ints
from features.measures import Rate
from features.spec import Spec


def person_features(measured: pa.Table, people: Ints, spec: Spec) -> pa.Table:
    """One row a person, in the order of `people`: `person_id` and one float64 column a feature, in the order of `spec`.

    Args:
        measured: What `features.kernel.kernel` says of one night, in any order; whom it does not know has no values.
        people: Sorted ids.
        spec: What was measured. Rates are smoothed with everybody's rate among `people`; scores are left out, because
            their cut-points are learned.
    """
    at = _places(people, np.asarray(measured["person_id"]).astype(np.int64))
    known = {name: _taken(measured, name, at) for name in spec.names}
    columns = {"person_id": pa.array(people, pa.int64())}
    for feature in spec.listed:
        if isinstance(feature.measure, Rate):
            columns[feature.name] = pa.array(_rate(feature.measure, known, spec))
        elif feature.name in known:
            columns[feature.name] = pa.array(known[feature.name])
    return pa.table(columns)


def _places(people: Ints, measured: Ints) -> Ints:
    """The row of each of `people` among the measured; -1 for who is not."""
    order = np.argsort(measured)
    place = np.minimum(np.searchsorted(measured[order], people), max(len(measured) - 1, 0))
    found: Ints = np.where(measured[order][place] == people, order[place], -1) if len(measured) else 0 * people - 1
    return found


def _taken(measured: pa.Table, name: str, at: Ints) -> Floats:
    values = np.asarray(measured[name], np.float64)
    return np.where(at >= 0, values[at], np.nan) if len(values) else np.full(len(at), np.nan)


def _rate(rate: Rate, known: Mapping[str, NDArray[np.float64]], spec: Spec) -> Floats:
    """(n + prior x everybody's rate) / (shown + prior)."""
    reached, shown = (known[spec.name_of(count)] for count in rate.counts)
    overall = np.nansum(reached) / max(np.nansum(shown), 1.0)
    smoothed: Floats = (reached + overall * rate.prior) / (shown + rate.prior)
    return smoothed
