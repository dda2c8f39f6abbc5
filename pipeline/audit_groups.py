"""Groups of people, and how well each is served by a goal's model: the slices of a training's page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features import spec
from features.crm import Vocabulary
from features.measures import Attribute
from models import listing
from models.slices import OTHER, Members, Slice, Worst, exposures, members, merged, slice_of
from pipeline.lookup import UNKNOWN, Lookup
from pipeline.rows import Rows

PLACES = 10
_ATTRIBUTES = 6
"""Attributes of the CRM that people are grouped by: those that most of the test's rows have."""

Names = NDArray[Any]


class Shown(NamedTuple):
    """Rows of features (N, F), and whose they are (N,)."""

    x: NDArray[np.float32]
    person: NDArray[np.int64]


@dataclass(frozen=True)
class Groups:
    """Whose of the test's rows are in which group; and by kind and group the exposure, by what lists hold."""

    test: Sequence[Members]
    exposure: Mapping[str, Mapping[str, float]]

    @classmethod
    def of(cls, test: Rows, lists: Rows, goals: Sequence[str], vocabulary: Vocabulary, lookup: Lookup | None) -> Groups:
        """The segments of a replay, and what the CRM says; a kind that tells nobody apart is left out.

        A list of ten contents or more fills ten places, whatever the scores, so exposure needs none of them.
        """
        first, size = np.unique(lists.group, return_index=True, return_counts=True)[1:]
        heads = Shown(lists.x[first], lists.person[first])
        column = {name: place for place, name in enumerate(spec.names(goals, crm=vocabulary.attributes))}
        chosen = _attributes(test.x, column, vocabulary)
        listed = _named(heads, column, chosen, lookup)
        test_kinds = _named(Shown(test.x, test.person), column, chosen, lookup)
        found, exposure = {}, {}
        for kind, names in test_kinds.items():
            kept = merged(names, test.person)
            if len(set(kept.tolist())) > 1:
                small = dict(zip(names.tolist(), kept.tolist(), strict=True))
                of_lists = np.array([small.get(name, OTHER) for name in listed[kind]], object)
                found[kind], exposure[kind] = kept, exposures(of_lists, heads.person, np.minimum(size, PLACES))
        return cls(members(found, test.person), exposure)

    def served(self, rows: Rows, goal: str, p: NDArray[np.float64]) -> list[Slice]:
        """Every group, by a goal's probabilities (N,) of the test's rows."""
        y, exposure = rows.labels[goal], self.exposure
        return [slice_of(one, y, p, exposure[one.kind].get(one.name, float("nan"))) for one in self.test]


def said(found: Sequence[Slice], worst: Worst | None) -> str:
    """Which group is ranked worst and whether that could be chance; and whose probabilities are off."""
    if not found:
        return "No groups of at least 11 people to compare."
    return " ".join(filter(None, (_worst(worst), _off([one for one in found if one.off], len(found)))))


def _worst(worst: Worst | None) -> str:
    if worst is None:
        return "Too few engaged to compare groups."
    one = worst.slice
    figures = (
        f"AUC {one.auc.mean:.3f} ({one.auc.low:.3f} to {one.auc.high:.3f}) against {worst.others:.3f} of the others"
    )
    if worst.sure:
        judged = (
            f"that is hardly chance (probability {_probability(worst.chance)} with {worst.compared} groups compared)"
        )
    else:
        judged = f"with {worst.compared} groups compared, that can be chance (probability {_probability(worst.chance)})"
    return f"Ranked worst: {one.kind}, {one.name}: {figures}; {judged}."


def _probability(chance: float) -> str:
    return "below 0.001" if chance < 0.001 else f"{chance:.2g}"


def _off(off: Sequence[Slice], compared: int) -> str:
    if not off:
        return "Expected and observed agree within the interval in every group."
    expected = f"; by chance some {0.05 * compared:.0f} of {compared} would" if 0.05 * compared >= 1 else ""
    return f"Expected and observed differ beyond the interval in {len(off)} of {compared} groups{expected}."


# ---------------------------------------------------------------- who is who


def _attributes(x: NDArray[np.float32], column: Mapping[str, int], vocabulary: Vocabulary) -> list[Attribute]:
    """Those of the CRM that people are grouped by, wherever they stand: what most of these rows have."""
    known = [one for one in vocabulary.attributes if one.values is not None]
    having = {one.column: float(np.isfinite(x[:, column[one.column]]).mean()) for one in known}
    return sorted(known, key=lambda one: (-having[one.column], one.name))[:_ATTRIBUTES]


def _named(
    rows: Shown, column: Mapping[str, int], chosen: Sequence[Attribute], lookup: Lookup | None
) -> dict[str, Names]:
    country = lookup.countries(rows.person) if lookup else np.full(len(rows.person), UNKNOWN, object)
    events, mobile = (rows.x[:, column[name]].astype(np.float64) for name in ("events_30d", "mobile_share"))
    said = {f"CRM: {one.name.replace('_', ' ')}": _values(rows.x[:, column[one.column]], one) for one in chosen}
    return {**listing.segments(events, mobile, country), **said}


def _values(codes: NDArray[np.float32], attribute: Attribute) -> Names:
    """What the CRM says in its own words, by row."""
    words = np.array([*(attribute.values or ()), "another value", "not in the CRM"], object)
    last = len(words) - 1
    at = np.where(np.isnan(codes), last, np.clip(np.nan_to_num(codes), 0, last - 1)).astype(np.int64)
    named: Names = words[at]
    return named
