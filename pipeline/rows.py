"""Pairs to learn from, and several nights of them put together."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import itemgetter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features import crm, rfm, spec
from features.crm import Vocabulary
from models.factored import Factored
from models.mapped import let_go
from pipeline import scratch
from pipeline.build_features import NO_CRM, Cuts

Integers = NDArray[np.int64]
Dense = NDArray[np.float32]


@dataclass(frozen=True)
class Rows:
    """Pairs of people and content on past nights (N of them), sorted by night, person and content.

    `said` are the models' rows (N, F), put together or not yet; `raw` the raw RFM values (N, 3) from which the scores
    in them are made; `labels` by goal 0 or 1 (N,); `person` pseudonyms; `content` (N,) places among `ids`, all contents
    that the nights knew, sorted; `group` one number a list (a person on a night), growing from night to night; `nights`
    each with its first list's number, where any may be gone by now; `popularity` the score that most-popular would
    give; `crm` what it said of the rows' people, as of their nights (`FACTS`, and the `group`); `drawn` (N,) the rows
    that are learned from whatever came of them, a share `negatives` of all; `propensity` (N,) the probability with
    which each was shown, NaN where unknown, None where nobody ever logged one.
    """

    said: Dense | Factored
    raw: NDArray[np.float64]
    labels: Mapping[str, NDArray[np.float32]]
    person: Integers
    content: NDArray[np.int32]
    ids: pa.Array
    group: Integers
    nights: tuple[tuple[int, datetime], ...]
    popularity: NDArray[np.float64]
    crm: pa.Table
    drawn: NDArray[np.bool_]
    negatives: float
    propensity: NDArray[np.float64] | None = None

    @property
    def x(self) -> Dense:
        """The models' rows (N, F), put together."""
        return self.said.dense() if isinstance(self.said, Factored) else self.said

    @property
    def size(self) -> int:
        """How many pairs there are."""
        return len(self.person)

    def content_id(self, row: int) -> str:
        """The content that a row is of."""
        return str(self.ids[int(self.content[row])])

    def night(self, row: int) -> datetime:
        """The night that a row is of."""
        return self.nights[bisect_right(self.nights, self.group[row], key=itemgetter(0)) - 1][1]

    @property
    def thinned(self) -> Rows:
        """The rows that are learned from."""
        kept = self.drawn.copy()
        for values in self.labels.values():
            kept |= values > 0
        return self.where(kept)

    def where(self, kept: NDArray[np.bool_] | slice) -> Rows:
        """Some of the rows, and what the CRM said of their people."""
        group = self.group[kept]
        return replace(
            self,
            said=self.said[kept],
            raw=self.raw[kept],
            labels={goal: values[kept] for goal, values in self.labels.items()},
            person=self.person[kept],
            content=self.content[kept],
            group=group,
            popularity=self.popularity[kept],
            crm=self.crm.filter(pc.is_in(self.crm["group"], value_set=pa.array(np.unique(group), pa.int64()))),
            drawn=self.drawn[kept],
            propensity=None if self.propensity is None else self.propensity[kept],
        )

    def scored(self, cuts: Cuts, goals: Sequence[str], vocabulary: Vocabulary = NO_CRM) -> Rows:
        """The same rows with RFM scores by `cuts`, and what `vocabulary` reads of the CRM, whatever one did before."""
        return replace(self, said=_scored([self], cuts, goals, vocabulary))

    def _write_scored(self, x: Dense, cuts: Cuts, goals: Sequence[str], vocabulary: Vocabulary) -> None:
        """The models' rows, scored, into `x`: the CRM's columns stand behind the person's others."""
        names, before, width = spec.names(goals), len(spec.names(goals, "person")), self.said.shape[1]
        after = len(names) - before
        if isinstance(self.said, Factored) and width == x.shape[1]:
            self.said.write(x)
        else:
            found = self.x
            x[:, :before], x[:, x.shape[1] - after :] = found[:, :before], found[:, width - after :]
        by_group = self.crm.select(["group", "attribute", "value"]).rename_columns(crm.FACTS.names)
        for at, said in enumerate(crm.coded(by_group, self.group, vocabulary).columns, before):
            x[:, at] = np.asarray(said.combine_chunks())
        scores = rfm.scores(pa.table(list(self.raw.T), names=list(rfm.RAW)), cuts)
        for name in rfm.SCORES:  # they stand before the CRM's columns, which change no place of theirs
            x[:, names.index(name)] = np.asarray(scores[name].combine_chunks())


def joined(parts: Sequence[Rows]) -> Rows:
    """Rows of several nights as one, in the order given.

    Raises:
        ValueError: There are none.
    """
    parts = _some(parts)
    return _joined(parts, np.concatenate([part.x for part in parts]))


def scored(
    parts: Sequence[Rows],
    cuts: Cuts,
    goals: Sequence[str],
    vocabulary: Vocabulary = NO_CRM,
    root: Path | None = None,
) -> Rows:
    """`joined(parts).scored(...)`, which would copy the models' rows twice: they are most of a training's memory.

    Many lie in a file below `root`, where one is given (`scratch.floats`).

    Raises:
        ValueError: There are none.
    """
    parts = _some(parts)
    return _joined(parts, _scored(parts, cuts, goals, vocabulary, root))


def _some(parts: Sequence[Rows]) -> list[Rows]:
    found = [part for part in parts if part.size]
    if not found:
        raise ValueError("nobody was active on the replayed nights, so there is nothing to learn from")
    return found


def _scored(
    parts: Sequence[Rows], cuts: Cuts, goals: Sequence[str], vocabulary: Vocabulary, root: Path | None = None
) -> Dense:
    ends = np.cumsum([0, *(part.size for part in parts)]).tolist()
    x = scratch.floats((ends[-1], len(spec.names(goals)) + len(vocabulary.attributes)), root)
    for part, start, end in zip(parts, ends, ends[1:], strict=False):
        part._write_scored(x[start:end], cuts, goals, vocabulary)
        let_go(x)
    return x


def _joined(parts: Sequence[Rows], x: Dense) -> Rows:
    offsets = np.cumsum([0, *(int(part.group.max()) + 1 for part in parts)])[: len(parts)].tolist()
    ids = pc.unique(pa.concat_arrays([part.ids for part in parts])).sort()
    places = [np.asarray(pc.index_in(part.ids, value_set=ids)) for part in parts]
    return Rows(
        said=x,
        raw=np.concatenate([part.raw for part in parts]),
        labels={goal: np.concatenate([part.labels[goal] for part in parts]) for goal in parts[0].labels},
        person=np.concatenate([part.person for part in parts]),
        content=np.concatenate([place[part.content] for part, place in zip(parts, places, strict=True)]),
        ids=ids,
        group=np.concatenate([part.group + offset for part, offset in zip(parts, offsets, strict=True)]),
        nights=tuple(
            (first + offset, as_of) for part, offset in zip(parts, offsets, strict=True) for first, as_of in part.nights
        ),
        popularity=np.concatenate([part.popularity for part in parts]),
        drawn=np.concatenate([part.drawn for part in parts]),
        negatives=parts[0].negatives,
        propensity=_propensities(parts),
        crm=pa.concat_tables([_moved(part.crm, offset) for part, offset in zip(parts, offsets, strict=True)]),
    )


def _propensities(parts: Sequence[Rows]) -> NDArray[np.float64] | None:
    if all(part.propensity is None for part in parts):
        return None
    return np.concatenate([np.full(p.size, np.nan) if p.propensity is None else p.propensity for p in parts])


def _moved(said: pa.Table, offset: int) -> pa.Table:
    at = said.column_names.index("group")
    return said.set_column(at, "group", pc.add(said["group"], pa.scalar(offset, pa.int64())))
