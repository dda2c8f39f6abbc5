"""How much of the simulated world's truth a log can tell at all: what who knows the laws expects, by Bayes' rule.

They know how people click and dwell, each content's hidden quality and how tastes are spread; of a person, like us,
only what she was shown, clicked and how long she stayed. Each of her categories is a grid of shares of her taste,
beside one of eagerness: as if categories were independent and tastes stood still, without the small leanings to authors
and tags. What is learned from the log alone cannot list much better than this.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import beta

from pipeline.simulation import population, world
from pipeline.simulation.catalogue import CATEGORIES
from pipeline.simulation.draws import DAY_US
from pipeline.simulation.world import Chances, State, World

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SHARES, EAGER = 48, 7
_EDGES = (np.arange(SHARES + 1) / SHARES) ** 2
_LOT = population._TASTE_CONCENTRATION
_PRIOR = np.log(np.diff(beta.cdf(_EDGES, _LOT, _LOT * (len(CATEGORIES) - 1))) + 1e-12)
_SIGMAS, _EAGERNESS = np.linspace(-2, 2, EAGER), 0.35
"""Standard deviations, and what one is: as `pipeline.simulation.population` draws it."""

_SLICE = 20_000


@dataclass(frozen=True)
class Told:
    """A log's rows (N,): whose, of which content of the world, when, at which position, and what happened.

    `clicked` and `again` are of impressions: whether it was clicked, and whether the content had been before.
    """

    person: Ints
    content: Ints
    ts: Ints
    position: Floats
    clicked: NDArray[np.bool_]
    again: NDArray[np.bool_]
    impression: NDArray[np.bool_]
    dwell: Floats

    @classmethod
    def of(cls, log: pa.Table, person: Ints, content: Ints) -> Told:
        """Of rows with person and content (indices, -1 for rows that do not count)."""
        ts, event = np.asarray(log["ts"].cast(pa.int64())), np.array(log["event"].to_pylist())
        click, impression = event == "click", event == "impression"
        kept = np.flatnonzero((person >= 0) & (content >= 0) & (click | impression | (event == "view")))
        order = kept[np.lexsort((click[kept], ts[kept], content[kept], person[kept]))]
        dwell, position = (
            np.nan_to_num(log[name].to_numpy().astype(np.float64)) for name in ("dwell_seconds", "position")
        )
        pair = person[order] * (content.max() + 1) + content[order]
        first = np.searchsorted(pair, pair)
        clicks = np.concatenate([[0], np.cumsum(click[order])])
        until = np.minimum.accumulate(np.where(impression[order], np.arange(len(order)), len(order))[::-1])[::-1]
        next_one = np.minimum(np.append(until[1:], len(order)), np.searchsorted(pair, pair, side="right"))
        return cls(
            person[order],
            content[order],
            ts[order],
            np.maximum(position[order], 1),
            clicks[next_one] > clicks[np.arange(len(order))],
            clicks[np.arange(len(order))] > clicks[first],
            impression[order],
            np.where(event[order] == "view", dwell[order], 0.0),
        )

    def slices(self, rows: NDArray[np.bool_]) -> Iterator[Ints]:
        """Some rows, not too many at a time."""
        at = np.flatnonzero(rows)
        yield from (at[start : start + _SLICE] for start in range(0, len(at), _SLICE))


def expected(whole: World, told: Told, people: int, content: Ints, contact: NDArray[np.bool_], weights: Any) -> Floats:
    """(people, `content`): the mean worth of each pair on the day after the log, by goal weights.

    `contact` says whom the CRM knows: only they buy.
    """
    chances = [_chances(whole, day) for day in range(whole.days + 1)]
    category = whole.catalogue.category
    share, eager = _posterior(_evidence(whole, told, people, chances))
    odds = chances[whole.days]
    found = np.zeros((people, len(content)))
    for at, one in enumerate(content):
        for known in (False, True):
            bought = odds.purchase[:, :, one] if known else 0.0
            value = weights["click"] + weights["read"] * odds.read[:, :, one] + weights["purchase"] * bought
            rows = np.flatnonzero(contact == known)
            mean = (share[rows, category[one]] * (odds.click[:, :, one] * value)).sum(axis=2)
            found[rows, at] = (eager[rows] * mean).sum(axis=1)
    return found


def _chances(whole: World, day: int) -> Chances:
    """(eagerness, share, contents) of people who are nothing but a share of taste in each category and an eagerness."""
    shape, contents = EAGER * SHARES, np.arange(len(whole.catalogue))
    shares = np.tile((_EDGES[1:] + _EDGES[:-1]) / 2, EAGER)
    people = replace(
        whole.people,
        tastes=np.zeros(0),
        author_tastes=np.zeros((shape, whole.people.author_tastes.shape[1])),
        tag_tastes=np.zeros((shape, whole.people.tag_tastes.shape[1])),
        eagerness=np.repeat(_SIGMAS * _EAGERNESS, SHARES),
        contact_from=np.full(shape, -1),
    )
    state = State(day, np.repeat(shares[:, None], len(CATEGORIES), axis=1), np.zeros(0, np.int64))
    odds = world.chances(replace(whole, people=people), state, np.arange(shape)[:, None], contents[None, :])
    grids = (np.broadcast_to(one, (shape, len(contents))) for one in vars(odds).values())
    return Chances(*(one.reshape(EAGER, SHARES, -1) for one in grids))


def _evidence(whole: World, told: Told, people: int, chances: list[Chances]) -> Floats:
    """(people, categories, eagerness, share): how likely each makes what was seen, as a logarithm."""
    clicks, dwells = (np.stack([getattr(one, name) for one in chances]) for name in ("click", "log_dwell"))
    day = np.clip((told.ts - whole.start_us) // DAY_US, 0, whole.days)
    cell = told.person, whole.catalogue.category[told.content]
    found = np.zeros((people, len(CATEGORIES), EAGER, SHARES))
    for rows in told.slices(told.impression):
        p = clicks[day[rows], :, :, told.content[rows]] / np.sqrt(told.position[rows])[:, None, None]
        p = p * np.where(told.again[rows], world._OPENED_BEFORE, 1.0)[:, None, None]
        seen = np.where(told.clicked[rows][:, None, None], np.log(p), np.log1p(-p))
        np.add.at(found, (cell[0][rows], cell[1][rows]), seen)
    for rows in told.slices((told.dwell > 0) & (told.dwell < 600)):
        off = np.log(told.dwell[rows])[:, None, None] - dwells[day[rows], :, :, told.content[rows]]
        np.add.at(found, (cell[0][rows], cell[1][rows]), -0.5 * (off / world._DWELL_SIGMA) ** 2)
    return found


def _posterior(evidence: Floats) -> tuple[Floats, Floats]:
    """How likely each share is given the eagerness, and each eagerness (people, EAGER)."""
    joint = evidence + _PRIOR
    top = joint.max(axis=3, keepdims=True)
    share = np.exp(joint - top)
    total = share.sum(axis=3, keepdims=True)
    eager = (np.log(total) + top)[..., 0].sum(axis=1) - 0.5 * _SIGMAS**2
    eager = np.exp(eager - eager.max(axis=1, keepdims=True))
    return share / total, eager / eager.sum(axis=1, keepdims=True)
