"""Every public function of `features`: the order of rows means nothing, and what is passed in stays as it was."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import features
from features import contents, covisits, habits, history, pairs, rfm, spec
from features.history import DAY, History
from tests.features import crm_cases, kernel_cases, order_cases, pair_cases, word_cases
from tests.features.calls import called, wanted
from tests.features.images import image
from tests.features.logs import (
    AS_OF,
    CONTENTS,
    GOALS,
    LOG,
    MINUTE,
    PEOPLE,
    Count,
    Row,
    content_of,
    log_of,
    popularity_of,
)


@dataclass(frozen=True)
class World:
    """Everything that a public function may ask for, made of one log and one catalogue."""

    log: pa.Table
    content: pa.Table
    popularity: pa.Table

    @classmethod
    def in_order(cls, order: int) -> World:
        """The same rows in another order; 0 is as they came."""
        tables = log_of(awkward()), content_of(), popularity_of(counts())
        if order == 0:
            return cls(*tables)
        rng = np.random.default_rng(order)
        return cls(*(table.take(rng.permutation(table.num_rows)) for table in tables))

    @property
    def history(self) -> History:
        """The log and the catalogue, encoded."""
        return History.of(self.log, self.content, self.popularity, AS_OF, GOALS)

    @property
    def people(self) -> pa.Table:
        """Whom the log tells of."""
        return kernel_cases.people_of(self.log)


def awkward() -> list[Row]:
    """420 rows with ties, duplicates, near duplicates, gaps of half an hour, missing values and unknown content."""
    rng = np.random.default_rng(3)

    def one_of(*options: Any) -> Any:
        return options[rng.integers(len(options))]

    events = ("impression", "impression", "view", "click", "like", "purchase", "refund", "custom:a", "custom:b")
    rows = [
        Row(
            person=one_of(*PEOPLE),
            age=one_of(0, 0, 1, 5, 29, 80) * DAY + int(rng.integers(1, 20)) * 10 * MINUTE,
            content=one_of(*CONTENTS),
            event=one_of(*events),
            dwell=one_of(None, 0.0, 12.3, 45.6),
            value=one_of(None, 0.0, 0.1, 0.2, 0.3, -0.7),
            device=one_of(None, "mobile", "desktop"),
        )
        for _ in range(380)
    ]
    return [*rows, *rows[:20], *(row._replace(dwell=0.0, value=0.0) for row in rows[20:40])]


def counts() -> list[Count]:
    """60 counts of nobody in particular, with ties, and fractions whose sum hangs on their order."""
    rng = np.random.default_rng(4)
    ages, events = rng.integers(1, 9, 60) * DAY // 2, rng.choice(["view", "impression", "custom:a"], 60)
    return [
        Count(int(age), str(rng.choice(CONTENTS)), str(event), float(rng.choice([0.1, 0.2, 0.3, 7.0])))
        for age, event in zip(ages, events, strict=True)
    ]


Case = Callable[[World], Any]


def with_history(call: Callable[[History], Any]) -> Case:
    """A case for a function of the history alone."""
    return lambda world: call(world.history)


CASES: Mapping[str, Case] = {
    "contents.content_features": with_history(contents.content_features),
    "covisits.covisits": with_history(covisits.covisits),
    **crm_cases.CASES,
    "habits.Habits.of": with_history(habits.Habits.of),
    "history.History.of": lambda world: world.history,
    "history.reached": lambda world: _sorted(world.log.append_column("hit", history.reached(world.log, GOALS["read"]))),
    **kernel_cases.CASES,
    **order_cases.CASES,
    **pair_cases.CASES,
    "pairs.PairSpace.of": with_history(pairs.PairSpace.of),
    "pairs.Visits.of": with_history(pairs.Visits.of),
    "rfm.cut_points": lambda world: rfm.cut_points([world.people, world.people.slice(1)]),
    "rfm.scores": lambda world: rfm.scores(world.people, rfm.cut_points([world.people])),
    "rfm.segments": lambda world: rfm.segments(world.people, rfm.scores(world.people, rfm.cut_points([world.people]))),
    "spec.counts_of_rates": lambda _: spec.counts_of_rates(GOALS),
    "spec.features": lambda _: list(map(repr, spec.features(GOALS))),
    "spec.names": lambda _: list(spec.names(GOALS)),
    **word_cases.CASES,
}


def public() -> Iterator[str]:
    """Every public function of `features`, and every public class that is built by `of`."""
    for found in pkgutil.iter_modules(features.__path__):
        module = importlib.import_module(f"features.{found.name}")
        for name, thing in vars(module).items():
            if name.startswith("_") or getattr(thing, "__module__", "") != module.__name__:
                continue
            if inspect.isfunction(thing):
                yield f"{found.name}.{name}"
            elif inspect.isclass(thing) and hasattr(thing, "of"):
                yield f"{found.name}.{name}.of"


def _sorted(table: pa.Table) -> pa.Table:
    """`reached` answers row by row; side by side with its rows it has no order of its own."""
    return table.sort_by([(name, "ascending") for name in (*LOG.names, "hit")])


@cache
def expected(name: str) -> tuple[bytes, ...]:
    """What the rows give in the order in which they came."""
    return tuple(image(CASES[name](World.in_order(0))))


def test_every_public_function_is_held_to_it() -> None:
    """A public function of `features` that is not in CASES is not tested, and nobody may forget one."""
    assert sorted(CASES) == sorted(public())


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("name", CASES)
def test_the_order_of_rows_means_nothing(name: str, order: int) -> None:
    """The same rows in another order give the same bytes."""
    assert tuple(image(CASES[name](World.in_order(order)))) == expected(name)


@pytest.mark.parametrize("name", CASES)
def test_what_is_passed_in_stays_as_it_was(name: str) -> None:
    """Neither the tables nor any array of a history or a space is written to."""
    world = World.in_order(1)
    past = world.history
    space = pairs.PairSpace.of(past)
    handed = _Handed(world.log, world.content, world.popularity, past, space)
    before = image(handed)
    _call(name, handed)
    assert image(handed) == before


@dataclass(frozen=True)
class _Handed:
    """What a caller holds on to."""

    log: pa.Table
    content: pa.Table
    popularity: pa.Table
    history: History
    space: pairs.PairSpace


def _call(name: str, handed: _Handed) -> None:
    """Call a public function with the very objects that the caller holds, by the names of its parameters."""
    persons = kernel_cases.people_of(handed.log)
    cuts = rfm.cut_points([persons])
    arguments = {
        **word_cases.ARGUMENTS,
        **{field.name: getattr(handed, field.name) for field in fields(handed)},
        "as_of": AS_OF,
        "goals": GOALS,
        "rule": GOALS["read"],
        "people": persons,
        "tables": [persons],
        "cuts": cuts,
        "scored": rfm.scores(persons, cuts),
    }
    if name in kernel_cases.CASES:
        arguments = {**kernel_cases.arguments(handed.log)}
    if name in order_cases.CASES:
        arguments = {**order_cases.arguments(handed.log)}
    if name in crm_cases.CASES:
        arguments = {**crm_cases.arguments(handed.log)}
    if name in pair_cases.CASES:
        arguments = {**pair_cases.arguments(handed.log, handed.content)}
    function = called(name)
    given = wanted(function, arguments)
    before = image(list(given.values()))
    function(**given)
    assert image(list(given.values())) == before


@pytest.mark.parametrize("rows", [[0, 1], [1, 3]])
def test_opening_a_block_leaves_the_space_alone(rows: list[int]) -> None:
    """What candidates are chosen by is gathered from matrices that all blocks share."""
    past = World.in_order(0).history
    space = pairs.PairSpace.of(past)
    before = image(space)
    block = space.block(np.array(rows))
    assert block.covisit.shape == block.seen().shape == block.affinity().shape
    assert image(space) == before
