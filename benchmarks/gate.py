"""Whom the gate lets through: 100 simulated nights a kind of challenger, each with people and contents of its own.

What people like is known here: two goals are reached with probabilities that follow from how well a content suits a
person's taste, how popular and how new it is. Models are the real ones (`models.learning`: XGBoost, stopped early and
calibrated on validation rows), of three kinds that differ in what they learned from: `full` from 20,000 rows, `small`
from a tenth of them, `shuffled` from 20,000 whose labels were permuted, those of the validation too. "Better" is
`full` against `small` on nights on which it is: by the true probabilities its NDCG is higher, and its log-loss of every
goal lower. There are as many nights as it takes for 100 of those. "Equal" is `full` against one that learned from as
many other rows. `QUICK=1` is 10 nights.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from benchmarks.table import QUICK, Row, finish
from models import gate, learning, metrics
from models.gate_rows import TestRows
from models.learning import Sample
from models.resampling import Draws, interval

NIGHTS = 10 if QUICK else 100
FIRST = 1_000
"""The seed of the first night: bounds were set on nights 0 to 103, so those say nothing of how well they hold."""
ROWS, SMALL, VALIDATION = 20_000, 2_000, 6_000
PEOPLE, LISTS, LENGTH, CONTENTS, TASTES = 500, 2, 30, 300, 4
FEATURES = ("taste", "popularity", "newness", "noise 1", "noise 2", "noise 3")
GOALS = {"click": (-3.2, 1.0), "read": (-4.0, 1.3)}
"""By goal the log-odds where nothing speaks for a content, and how much taste counts."""
WEIGHTS = {"click": 0.2, "read": 1.0}
PARAMS = {"eta": 0.2, "max_depth": 3, "nthread": 1}

Floats = NDArray[np.float64]
ByGoal = Mapping[str, Floats]


@dataclass(frozen=True)
class World:
    """Contents and people of one simulated company."""

    rng: np.random.Generator
    contents: Floats
    popularity: Floats
    newness: Floats

    @classmethod
    def of(cls, seed: int) -> World:
        """Another one for each seed."""
        rng = np.random.default_rng(seed)
        return cls(rng, rng.normal(size=(CONTENTS, TASTES)), rng.normal(size=CONTENTS), rng.normal(size=CONTENTS))

    def rows(self, lists: int, people: int) -> Rows:
        """So many lists, of as many people, or of several nights of fewer."""
        person = np.repeat(np.arange(lists) % people, LENGTH)
        content = np.concatenate([self.rng.permutation(CONTENTS)[:LENGTH] for _ in range(lists)])
        tastes = self.rng.normal(size=(people, TASTES)) / np.sqrt(TASTES)
        taste = (tastes[person] * self.contents[content]).sum(axis=1)
        noise = self.rng.normal(size=(len(person), 3))
        x = np.column_stack([taste, self.popularity[content], self.newness[content], noise]).astype(np.float32)
        p = {goal: expit(base + k * taste + 0.7 * x[:, 1] + 0.4 * x[:, 2]) for goal, (base, k) in GOALS.items()}
        labels = {goal: (self.rng.random(len(person)) < chance).astype(np.float64) for goal, chance in p.items()}
        return Rows(person, np.repeat(np.arange(lists), LENGTH), content, x, p, labels)

    def model(self, rows: int, *, shuffled: bool = False) -> Any:
        """Learned from as many rows that nobody saw before; its answers to features, by goal."""
        parts = [self.rows(size // LENGTH, size // LENGTH) for size in (rows, VALIDATION)]
        models = {}
        for goal in GOALS:
            samples = [Sample(one.x, self._labels(one, goal, shuffled), one.person) for one in parts]
            models[goal] = learning.relearn(goal, FEATURES, *samples, PARAMS, 0).model
        return lambda x: {goal: model.predict(x) for goal, model in models.items()}

    def _labels(self, rows: Rows, goal: str, shuffled: bool) -> Floats:
        return self.rng.permutation(rows.labels[goal]) if shuffled else rows.labels[goal]


@dataclass(frozen=True)
class Rows:
    """Lists: whose, which, of what; features, true probabilities, and what came of it."""

    person: NDArray[np.int64]
    group: NDArray[np.int64]
    content: NDArray[np.int64]
    x: NDArray[np.float32]
    p: ByGoal
    labels: ByGoal

    def to_judge(self, popularity: Floats) -> TestRows:
        """As the gate takes them: people are of three groups, by chance."""
        names = np.array(["loyal", "new", "dormant"], object)[self.person[::LENGTH] % 3]
        groups = {"segment": names}
        score = popularity[self.content]
        return TestRows(self.person, self.group, self.labels, WEIGHTS, score, self.content, groups)


def main() -> None:
    """Count, print, write."""
    os.environ["OMP_NUM_THREADS"] = "1"
    started = time.process_time()
    nights: list[dict[str, float]] = []
    while sum(one["truly"] for one in nights) < NIGHTS:
        nights.append(night(FIRST + len(nights)))
    share = {name: 100 * float(np.mean([one[name] for one in nights])) for name in nights[0]}
    better = [one for one in nights if one["truly"]]
    rows = [
        Row("refused, %: shuffled, against a champion", 100 - share["shuffled"], 100),
        Row("refused, %: shuffled, champion stale and dipping", 100 - share["shuffled, stale"], 100),
        Row("refused, %: shuffled, champion shuffled too", 100 - share["shuffled, weak"], 100),
        Row("refused, %: shuffled, as a first model", 100 - share["shuffled, first"], 100),
        Row("of these sort better than chance by AUC, beyond doubt, %", share["shuffled, lucky"]),
        Row("promoted, %: better", 100 * float(np.mean([one["better"] for one in better])), 95),
        Row("true NDCG@10 of the better ones, less the champion's", float(np.mean([one["gain"] for one in better]))),
        Row("promoted, %: worse, champion stale and dipping", share["worse, stale"], 0, better="lower"),
        Row("promoted, %: honest first model", share["first"], 95),
        Row("promoted, %: equal (nominal 2.5)", share["equal"], better="lower"),
        Row("promoted, %: equal, champion stale", share["equal, stale"]),
        Row("nights", len(nights), better="lower"),
        Row("a verdict, CPU s", share["seconds"] / 100, better="lower"),
        Row("all nights, CPU s", time.process_time() - started, better="lower"),
    ]
    finish("gate", rows)


def night(seed: int) -> dict[str, float]:
    """What the gate said of every kind of challenger on one night, 1 for promoted."""
    world = World.of(seed)
    models = {
        "full": world.model(ROWS),
        "other": world.model(ROWS),
        "small": world.model(SMALL),
        "shuffled": world.model(ROWS, shuffled=True),
        "noise": world.model(ROWS, shuffled=True),
    }
    test = world.rows(PEOPLE * LISTS, PEOPLE)
    rows, said = test.to_judge(world.popularity), {name: model(test.x) for name, model in models.items()}

    def passed(challenger: str, champion: str | None, **why: bool) -> float:
        return float(gate.promote(rows, said[challenger], said[champion] if champion else None, **why).promote)

    reasons = {"champion_stale": True, "champion_dipping": True}
    started = time.process_time()
    found = {
        "shuffled": passed("shuffled", "full"),
        "shuffled, stale": passed("shuffled", "full", **reasons),
        "shuffled, weak": passed("shuffled", "noise", **reasons),
        "shuffled, first": passed("shuffled", None),
        "better": passed("full", "small"),
        "worse, stale": passed("small", "full", **reasons),
        "first": passed("full", None),
        "equal": passed("full", "other"),
        "equal, stale": passed("full", "other", champion_stale=True),
    }
    found["seconds"] = (time.process_time() - started) / len(found)
    gain, lucky = _gain(test, rows, said), _lucky(rows, said["shuffled"])
    truer = all(_loss(test, said["full"], goal) < _loss(test, said["small"], goal) for goal in GOALS)
    return {**found, "gain": gain, "truly": float(gain > 0 and truer), "shuffled, lucky": lucky}


def _gain(test: Rows, rows: TestRows, said: Mapping[str, ByGoal]) -> float:
    """How much better `full` is than `small` by what is true, not by what chance made of it."""
    truth = rows.relevance(test.p)
    full, small = (metrics.ndcg_at_k(rows.group, rows.relevance(said[name]), truth) for name in ("full", "small"))
    return full - small


def _loss(test: Rows, said: ByGoal, goal: str) -> float:
    """The log-loss that is to be expected of a goal, whatever chance made of it."""
    p, q = test.p[goal], said[goal]
    return float(-(p * np.log(q) + (1 - p) * np.log1p(-q)).mean())


def _lucky(rows: TestRows, said: ByGoal) -> float:
    """Whether it sorts what was engaged in before what was not, by an AUC whose interval lies above 0.5."""
    engaged = (rows.relevance(rows.labels) > 0).astype(np.float64)
    return float(_least_auc(engaged, rows.relevance(said), rows.person) > 0.5)


def _least_auc(y: Floats, score: Floats, people: NDArray[np.int64]) -> float:
    """The lower end of the interval of an AUC."""

    return interval(Draws.of(people).figures(y, score, ("auc",))["auc"]).low


if __name__ == "__main__":
    main()
