"""What is kept of a person while the kernel folds: whole numbers (`si`) and floats (`sf`), and what is where."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from features.jit import inlined
from features.measures import MIX
from features.program import Program

NEVER = np.iinfo(np.int64).min

# Places of whole numbers; the arrays of `Layout` follow.
LAST, PRESENT, FIRST, START, CHANNEL, HOUR, WEEKDAY, DEPTH, DWELL = range(9)
BOUGHT_FIRST, BOUGHT_LAST, BOUGHT_DAYS, BOUGHT, BOUGHT_AT_FIRST = range(9, 14)
_FIXED = 14


class Layout(NamedTuple):
    """Where things begin in a person's state: whole numbers, then floats."""

    anchors: int
    session_anchors: int
    sinces: int
    counts: int
    totals: int
    distinct: int
    added: int
    leaving: int
    edges: int
    mix: int
    categories: int
    ints: int
    decays: int
    weights: int
    means: int
    floats: int
    parts: int

    @classmethod
    def of(cls, program: Program) -> Layout:
        """The layout of what the program keeps."""
        parts = program.sessions.parts
        sessions = len(program.sessions.half)
        days = len(program.days.bit)
        counts = [len(program.sinces.bit), len(program.counts.bits), len(program.totals.bit)]
        ints = [
            _FIXED,
            len(program.half_lives),
            sessions,
            *counts,
            days,
            days,
            days,
            len(program.windows),
            len(MIX),
            program.sessions.categories,
        ]
        floats = [0, len(program.decays.bit), sessions, sessions * parts]
        return cls(*np.cumsum(ints).tolist(), *np.cumsum(floats).tolist(), parts)  # type: ignore[call-arg]


@inlined
def copy(source, target):
    """The numbers of the one into the other, which is as long."""
    for k in range(len(source)):
        target[k] = source[k]
