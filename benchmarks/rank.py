"""Ranking: from people, contents and what connects them to lists, beside pandas and beside XGBoost asked in blocks.

100,000 people x 500 candidates out of 5,000 contents; 300 trees of depth 6 a goal, on 60 features: 30 of the person, 19
of the content, 10 of the pair, and the position; a tenth of the values is missing. Everybody gets the same blocks of
pairs with the pairs' features in them, and ends with the same lists of 20, at most 5 of a category; the lists are
compared. One core, unless said otherwise: CPU seconds of the least of `TIMES` goes through a block of people, ways
taking turns in one process. `QUICK=1` takes fewer people through the whole night.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import xgboost as xgb
from numpy.typing import NDArray

from benchmarks import measure
from benchmarks.table import QUICK, Row, finish
from models import rerank, scorer
from models.calibration import fit
from models.classifier import GoalModel, grow, matrix
from models.forest import Forest
from models.rerank import Listed
from models.scorer import Scorer

PEOPLE, CONTENTS, CANDIDATES, K, PER_CATEGORY = 5_000 if QUICK else 100_000, 5_000, 500, 20, 5
WIDTHS = (30, 19, 10)
TREES, DEPTH, LEARNED_FROM = 300, 6, 200_000
BLOCK, TIMES = 400, 5
GOALS = ("click", "read", "buy")
NAMES = tuple(f"f{at}" for at in range(sum(WIDTHS) + 1))

Dense = NDArray[np.float32]
Ints = NDArray[np.int64]


def main() -> None:
    """Measure, print, write."""
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
    ways = measure.measured("rank", "ways").told
    few, many = (measure.measured("rank", "night", str(people)) for people in (PEOPLE // 10, PEOPLE))
    pairs = BLOCK * CANDIDATES
    rate = {name: pairs / seconds / 1e6 for name, seconds in ways.items()}
    rows = [
        Row("pairs a second and core, against pandas and predict", rate["ours"] / rate["pandas"], 5, 8),
        Row("against inplace_predict in blocks", rate["ours"] / rate["blocks"], 3.5, 6),
        Row("M pairs a second and core", rate["ours"], 1, 1.5),
        Row("three goals at once, against one", ways["three"] / ways["ours"], 2.2, 1.7, "lower"),
        Row("two cores, against one: wall", ways["one worker, wall"] / ways["two workers, wall"], 1.8),
        Row("top K and caps, share of scoring", ways["listing"] / ways["scoring"], 0.35, 0.2, "lower"),
        Row("trees alone: M pairs a second and core", rate["trees"]),
        Row("pandas and predict: M pairs a second and core", rate["pandas"]),
        Row("inplace_predict in blocks: M pairs a second and core", rate["blocks"]),
        Row(f"{PEOPLE:,} people: CPU s", many.told["seconds"], better="lower"),
        Row(f"{PEOPLE:,} people: peak, MB", many.peak_mb, 1000, better="lower"),
        Row(f"{PEOPLE // 10:,} people: peak, MB", few.peak_mb, better="lower"),
    ]
    finish("rank", rows)


@dataclass(frozen=True)
class Block:
    """Pairs of some people, sorted by person, and their own features."""

    person: Ints
    content: Ints
    between: Dense


@dataclass(frozen=True)
class World:
    """Everything that a night knows before anybody is scored."""

    people: Dense
    contents: Dense
    category: Ints
    models: Mapping[str, GoalModel]

    @classmethod
    def of(cls, people: int) -> World:
        """At random, but for what the goals depend on."""
        rng = np.random.default_rng(0)
        x = _values(rng, LEARNED_FROM, len(NAMES))
        return cls(
            _values(rng, people, WIDTHS[0]),
            _values(rng, CONTENTS, WIDTHS[1]),
            rng.integers(0, 30, CONTENTS),
            {goal: _model(goal, rng, x) for goal in GOALS},
        )

    def block(self, first: int) -> Block:
        """The candidates of `BLOCK` people, each one's sorted."""
        rng = np.random.default_rng(first)
        person = np.repeat(np.arange(first, min(first + BLOCK, len(self.people))), CANDIDATES)
        keys = rng.random((len(person) // CANDIDATES, CONTENTS), np.float32)
        content = np.sort(np.argpartition(keys, CANDIDATES, axis=1)[:, :CANDIDATES], axis=1)
        return Block(person, content.ravel(), _values(rng, len(person), WIDTHS[2]))

    def listed(self, block: Block, relevance: NDArray[np.float64]) -> Listed:
        """The lists of a block's people."""
        limits = rerank.Limits(K, self.category[:, None], np.array([PER_CATEGORY]))
        return rerank.top(block.person, block.content, relevance, limits)

    def scorer(self, goals: int, workers: int = 1) -> Scorer:
        """Ours, for some of the goals."""
        return Scorer.of({goal: self.models[goal] for goal in GOALS[:goals]}, self.people, self.contents, workers)


def _values(rng: np.random.Generator, many: int, width: int) -> Dense:
    found = rng.standard_normal((many, width), np.float32)
    found[rng.random(found.shape, np.float32) < 0.1] = np.nan
    return found


def _model(goal: str, rng: np.random.Generator, x: Dense) -> GoalModel:
    """Depends on everything a little, and on people and contents, and people and pairs, together."""
    known = np.nan_to_num(x)
    score = known @ rng.normal(0, 0.2, len(NAMES)) + known[:, 0] * known[:, 35] / 2 + known[:, 3] * known[:, 55] / 2
    y = (rng.random(len(x)) < 1 / (1 + np.exp(2 - score))).astype(np.float32)
    params = {"max_depth": DEPTH, "learning_rate": 0.1, "nthread": len(os.sched_getaffinity(0))}
    booster = grow(matrix(x, NAMES, y), params, TREES, 1)
    model = GoalModel(goal, NAMES, bytes(booster.save_raw("ubj")), fit(y, y, np.arange(len(y)), "platt"), TREES - 1, {})
    return model.calibrated(x[:20_000], y[:20_000], np.arange(20_000))


# ---------------------------------------------------------------- the ways


def ways() -> Mapping[str, float]:
    """Seconds of a block by each way, and of parts of ours."""
    world = World.of(BLOCK)
    for model in world.models.values():
        model.booster.set_param({"nthread": 1})
    one, two, three = world.scorer(1), world.scorer(1, 2), world.scorer(3)
    block = world.block(0)
    weights = dict.fromkeys(GOALS, 1.0)
    frames = _Frames(world, block)

    def asked(by: Scorer) -> NDArray[np.float64]:
        return by.score(weights, block.between, block.person, block.content, scorer.TOP).relevance

    forest = Forest.of([world.models[GOALS[0]].booster], *WIDTHS)
    codes = forest.contents(world.contents)

    def trees() -> object:
        return forest.margins(world.people, codes, block.between, block.person, block.content, scorer.TOP)

    known = asked(one)
    named: dict[str, Callable[[], object]] = {
        "ours": lambda: world.listed(block, asked(one)),
        "blocks": lambda: world.listed(block, _in_blocks(world, block)),
        "pandas": frames.lists,
        "three": lambda: world.listed(block, asked(three)),
        "scoring": lambda: asked(one),
        "listing": lambda: world.listed(block, known),
        "trees": trees,
    }
    found = _least(named, time.process_time)
    walls = {"one worker, wall": lambda: asked(one), "two workers, wall": lambda: asked(two)}
    _require_same(world, block, known, frames)
    return {**found, **_least(walls, time.perf_counter)}


def _least(ways: Mapping[str, Callable[[], object]], clock: Callable[[], float]) -> dict[str, float]:
    found: dict[str, float] = {}
    for turn in range(TIMES + 1):
        for name, way in ways.items():
            start = clock()
            way()
            if turn:  # the first compiles
                found[name] = min(clock() - start, found.get(name, np.inf))
    return found


def _in_blocks(world: World, block: Block) -> NDArray[np.float64]:
    x = scorer.rows(world.people, world.contents, block.between, block.person, block.content, scorer.TOP)
    return world.models[GOALS[0]].predict(x)


@dataclass(frozen=True)
class _Frames:
    """As it is mostly done: frames joined, predicted, sorted, and cut by group."""

    world: World
    block: Block

    @cached_property
    def _tables(self) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        people, contents, pairs = np.cumsum((0, *WIDTHS))[:3].tolist()
        by_person = pd.DataFrame(self.world.people, columns=NAMES[people:contents]).rename_axis("person").reset_index()
        by_content = pd.DataFrame(self.world.contents, columns=NAMES[contents:pairs]).assign(
            category=self.world.category, content=np.arange(CONTENTS)
        )
        between = pd.DataFrame(self.block.between, columns=NAMES[pairs:-1])
        return by_person, by_content, between.assign(person=self.block.person, content=self.block.content)

    @cached_property
    def booster(self) -> xgb.Booster:
        """Of the first goal."""
        return self.world.models[GOALS[0]].booster

    def lists(self) -> pd.DataFrame:
        """Person and content of the lists, in their order."""
        by_person, by_content, between = self._tables
        joined = between.merge(by_person, on="person").merge(by_content, on="content")
        joined[NAMES[-1]] = np.float32(scorer.TOP)
        joined["score"] = self.booster.predict(xgb.DMatrix(joined[list(NAMES)]))
        best = joined.sort_values(["person", "score", "content"], ascending=[True, False, True])
        return best[best.groupby(["person", "category"]).cumcount() < PER_CATEGORY].groupby("person").head(K)


def _require_same(world: World, block: Block, known: NDArray[np.float64], frames: _Frames) -> None:
    """The same relevance as XGBoost's to the last bit, and pandas' lists but for ties that rounding makes."""
    np.testing.assert_array_equal(known, _in_blocks(world, block))
    ours, theirs = world.listed(block, known), frames.lists()
    pairs = {*zip(block.person[ours.pair].tolist(), block.content[ours.pair].tolist(), strict=True)}
    others = {*zip(theirs["person"].tolist(), theirs["content"].tolist(), strict=True)}
    if len(pairs & others) < 0.999 * len(pairs):
        raise SystemExit(
            f"pandas lists {len(others)} pairs, we {len(pairs)}, and only {len(pairs & others)} are both's"
        )


# ---------------------------------------------------------------- the night


def night(people: str) -> Mapping[str, float]:
    """Everybody, one goal, block after block; only lists are kept. CPU seconds without making the pairs."""
    world = World.of(int(people))
    one, seconds, lists = world.scorer(1), 0.0, []
    for first in range(0, len(world.people), BLOCK):
        block = world.block(first)
        start = time.process_time()
        scored = one.score({GOALS[0]: 1.0}, block.between, block.person, block.content, scorer.TOP)
        listed = world.listed(block, scored.relevance)
        lists.append((block.person[listed.pair], block.content[listed.pair].astype(np.int32)))
        seconds += time.process_time() - start
    return {"seconds": seconds, "listed": float(sum(len(person) for person, _ in lists))}


if __name__ == "__main__":
    measure.main({"ways": ways, "night": night}, main)
