"""What serves for people of whom we know little: groups of people who are alike, and what is worth most to each.

A cell is a RFM segment, a favourite category and a device. Lists are made for whole segments, for segments with a
category, and for cells, wherever there are at least 11 people: a smaller group's list is that of the next larger one,
as what a handful of people like is nobody else's business (science: k = 11).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.apply_rules import last_seen
from pipeline.build_features import NightFeatures
from pipeline.config import Config
from pipeline.score import Floats, Scored

SMALLEST = 11
"""People of a group that has a list."""

BETWEEN = " / "
"""Between the parts of a group's name."""

_MOST_SUMS = 25_000_000
"""Cells x contents x what is summed up: 200 MB. Where there would be more, groups are cut less finely."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Cells:
    """The cell of each of a night's people (P,), and by cell its parts, coarsest first; "" where unknown."""

    cell: Ints
    parts: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, found: NightFeatures, segment: NDArray[Any], config: Config) -> Cells:
        """By segment (P,), by the category with most of the person's decayed activity, and by their last device."""
        columns = [segment.astype(str), _favourites(found, config), _devices(found)]
        sums = found.history.catalogue.size * (1 + len(config.goals))
        while True:
            parts, cell = np.unique(np.column_stack(columns), axis=0, return_inverse=True)
            if len(columns) == 1 or len(parts) * sums <= _MOST_SUMS:
                return cls(cell.ravel(), tuple(map(tuple, parts.tolist())))
            columns.pop()

    def groups(self) -> Iterator[tuple[str, Ints]]:
        """The names of all groups, in their order, and the cells that each is made of."""
        for level in range(1, 1 + max(map(len, self.parts), default=0)):
            names: dict[tuple[str, ...], list[int]] = {}
            for cell, parts in enumerate(self.parts):
                if all(parts[:level]):
                    names.setdefault(parts[:level], []).append(cell)
            for parts, cells in sorted(names.items()):
                yield BETWEEN.join(parts), np.array(cells)

    def finest(self, named: set[str]) -> list[str | None]:
        """By cell the finest of its groups that is among `named`."""
        found: list[str | None] = []
        for parts in self.parts:
            options = [BETWEEN.join(parts[:level]) for level in range(len(parts), 0, -1) if all(parts[:level])]
            found.append(next((name for name in options if name in named), None))
        return found


def _favourites(found: NightFeatures, config: Config) -> NDArray[Any]:
    """A sensitive category is nobody's favourite."""
    names = np.array([*found.history.catalogue.categories, ""], object)
    may = [not config.reasons.unnamed("category", name) for name in names[:-1]]
    share = found.space.category_share.toarray()[:, : len(may)] * np.array(may, bool)
    best = share.argmax(axis=1) if share.shape[1] else np.zeros(len(share), np.int64)
    liked = share.max(axis=1, initial=0.0) > 0
    return names[np.where(liked, best, -1)].astype(str)


def _devices(found: NightFeatures) -> NDArray[Any]:
    said = last_seen(found.night.log, "device", found.history.people)
    devices = np.full(len(found.history.people), "", object)
    devices[said.at] = said.value
    return devices.astype(str)


@dataclass
class Sums:
    """By cell and content the sum of what its people's candidates are worth, made block by block: (cells, contents)."""

    cells: Cells
    contents: int
    by_name: dict[str, Floats] = field(default_factory=dict)
    candidates: int = 0
    _scored: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        """Nobody was scored yet."""
        self._scored = np.zeros(len(self.cells.cell), bool)

    def add(self, scored: Scored) -> None:
        """Count in what was scored for some people, all at once."""
        self._scored[scored.person] = True
        self.candidates += len(scored.person)
        at = self.cells.cell[scored.person] * self.contents + scored.content
        for name, values in {"score": scored.relevance, **scored.probabilities}.items():
            total = self.by_name.setdefault(name, np.zeros(len(self.cells.parts) * self.contents))
            np.add.at(total, at, values)

    @property
    def people(self) -> int:
        """How many people were scored."""
        return int(self._scored.sum())

    def sizes(self) -> Ints:
        """(cells,): how many of its people were scored."""
        return np.bincount(self.cells.cell[self._scored], minlength=len(self.cells.parts))

    def means(self, groups: list[Ints], people: Ints) -> dict[str, Floats]:
        """(groups, contents) each: the mean over a group's people; who has it for no candidate counts zero."""
        found = {}
        for name, total in self.by_name.items():
            by_cell = total.reshape(-1, self.contents)
            summed = np.array([by_cell[cells].sum(axis=0) for cells in groups]).reshape(len(groups), self.contents)
            found[name] = summed / people[:, None]
        return found
