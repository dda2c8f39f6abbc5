"""Rows of pairs, kept as what they are made of: a person's features once, a content's once, and the pair's own.

A list of 200 says the same of its person 200 times, and a night says the same of a content to everybody on it: put
together, rows take three times the memory of their parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Dense = NDArray[np.float32]
Places = NDArray[np.integer]

BLOCK = 65_536
"""Rows that are put together at a time."""


@dataclass(frozen=True)
class Factored:
    """N rows: the features of `people` (P, Fp) at `person` (N,), those of `contents` (C, Fc) at `content` (N,), the
    pair's own, `between` (N, Fx), and its `position` (N,), NaN where unknown. In that order they are a row's F columns.
    """

    people: Dense
    contents: Dense
    person: Places
    content: Places
    between: Dense
    position: Dense

    @classmethod
    def of(
        cls, people: Dense, contents: Dense, between: Dense, person: NDArray[Any], content: NDArray[Any], position: Any
    ) -> Factored:
        """Of larger matrices, of which only what the pairs need is kept; `position` is a number, or (N,)."""
        who, person = np.unique(person, return_inverse=True)
        what, content = np.unique(content, return_inverse=True)
        place = np.broadcast_to(np.asarray(position, np.float32), person.shape)
        return cls(people[who], contents[what], person.astype(np.int32), content.astype(np.int32), between, place)

    @property
    def shape(self) -> tuple[int, int]:
        """N, F."""
        return len(self.person), self.people.shape[1] + self.contents.shape[1] + self.between.shape[1] + 1

    def __getitem__(self, kept: NDArray[np.bool_] | slice) -> Factored:
        """Some of the rows, and what they need."""
        return Factored.of(
            self.people, self.contents, self.between[kept], self.person[kept], self.content[kept], self.position[kept]
        )

    def write(self, x: Dense) -> None:
        """Put the rows together in `x` (N, F)."""
        of_person, of_pair = self.people.shape[1], x.shape[1] - 1 - self.between.shape[1]
        for start in range(0, len(x), BLOCK):
            part = slice(start, start + BLOCK)
            x[part, :of_person] = self.people[self.person[part]]
            x[part, of_person:of_pair] = self.contents[self.content[part]]
        x[:, of_pair:-1] = self.between
        x[:, -1] = self.position

    def dense(self) -> Dense:
        """The rows, put together (N, F)."""
        x = np.empty(self.shape, np.float32)
        self.write(x)
        return x
