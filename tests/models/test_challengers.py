"""Other ways to learn from the same rows: what each must find, and what none may depend on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
import xgboost as xgb
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from models import challengers
from models.challengers import CHALLENGERS
from models.learning import Sample
from models.metrics import auc, ece, ndcg_at_k
from pipeline.sections import Training
from tests.examples import examples

EVERY = tuple(CHALLENGERS)
HONEST = tuple(name for name, one in CHALLENGERS.items() if one.probabilities)


def sample(seed: int, rows: int = 2000) -> Sample:
    """Lists of ten rows in which `signal` decides with what chance somebody engages; a tenth of it is missing."""
    rng = np.random.default_rng(seed)
    signal, noise = rng.normal(size=rows), rng.normal(size=rows)
    y = (rng.random(rows) < 1 / (1 + np.exp(2 - 2 * signal))).astype(np.float32)
    signal[rng.random(rows) < 0.1] = np.nan
    x = np.column_stack([1e6 * signal, 1e-3 * noise, np.full(rows, np.nan)]).astype(np.float32)
    return Sample(x, y, rng.integers(0, 60, rows), group=np.arange(rows) // 10)


def shuffled(whole: Sample, seed: int) -> Sample:
    """The same rows in another order."""
    order = np.random.default_rng(seed).permutation(len(whole.y))
    assert whole.group is not None
    return replace(whole, x=whole.x[order], y=whole.y[order], people=whole.people[order], group=whole.group[order])


def test_the_configuration_knows_them_all() -> None:
    """Whatever can be asked for is there, and whatever is there can be asked for."""
    (names,) = {get_args(one) for one in get_args(Training.model_fields["challengers"].annotation) if get_args(one)}
    assert set(names) == set(CHALLENGERS)
    assert HONEST == ("logistic_regression", "random_forest", "mlp")


@pytest.mark.parametrize("name", EVERY)
def test_each_finds_what_there_is_in_any_unit(name: str) -> None:
    """Answers come back set by set, in their own lengths, and sort rows that nobody has seen."""
    test, few = sample(3), sample(2, rows=50)
    first, second = CHALLENGERS[name].answers(sample(1, 4000), few.x, test.x)
    assert (len(first), len(second)) == (50, 2000)
    assert auc(test.y, second) > 0.8
    assert np.array_equal(CHALLENGERS[name].answers(sample(1, 4000), test.x[:50])[0], second[:50])
    if CHALLENGERS[name].probabilities:
        assert ece(test.y, second) < 0.05


@pytest.mark.parametrize("name", EVERY)
def test_the_same_rows_in_another_order_teach_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where there are more rows than are learned from: which ones are taken is no matter of where they stand."""
    monkeypatch.setattr(challengers, "ROWS", 500)
    whole, test = sample(1), sample(3, rows=100)
    (found,) = CHALLENGERS[name].answers(whole, test.x, seed=3)
    (again,) = CHALLENGERS[name].answers(shuffled(whole, 1), test.x, seed=3)
    np.testing.assert_array_equal(found, again)


class Watched(LogisticRegression):  # type: ignore[misc]
    """Says of which rows it was told."""

    seen: list[int] = []  # noqa: RUF012

    def fit(self, x: Any, y: Any, sample_weight: Any = None) -> Any:
        """Count them."""
        Watched.seen.append(len(y))
        return super().fit(x, y, sample_weight)


def test_no_more_rows_are_learned_from_than_are_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one row more than ROWS it is ROWS, and not all of them twice as often as before."""
    monkeypatch.setattr(challengers, "LogisticRegression", Watched)
    Watched.seen.clear()
    for most in (1999, 2000, 2001):
        monkeypatch.setattr(challengers, "ROWS", most)
        CHALLENGERS["logistic_regression"].answers(sample(1), np.zeros((1, 3), np.float32))
    assert Watched.seen == [1999, 2000, 2000]


@settings(max_examples=examples(25))
@given(
    sizes=st.lists(st.tuples(st.integers(1, 6), st.integers(0, 6)), min_size=1, max_size=12),
    most=st.integers(3, 40),
    order=st.integers(0, 9),
)
def test_a_ranker_learns_whole_lists_that_say_something(sizes: list[tuple[int, int]], most: int, order: int) -> None:
    """No list is cut, none is taken in which all is worth the same, and all together are no more than ROWS rows."""
    group = np.repeat(np.arange(len(sizes)), [size for size, _ in sizes])
    y = np.concatenate([np.arange(size) < hits for size, hits in sizes]).astype(np.float32)
    x = np.random.default_rng(order).permutation(len(y))[:, None].astype(np.float32)
    tells = {n for n, (size, hits) in enumerate(sizes) if 0 < hits < size}
    made: list[tuple[int, np.ndarray[Any, Any]]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(challengers, "ROWS", most)
        build = xgb.QuantileDMatrix
        patch.setattr(
            xgb, "QuantileDMatrix", lambda rows, **more: made.append((len(rows), more["qid"])) or build(rows, **more)
        )
        (found,) = CHALLENGERS["rank_ndcg"].answers(shuffled(Sample(x, y, group, group=group), order), x)
    assert len(found) == len(y)
    for rows, taken in made:
        assert rows <= most
        assert {n: (taken == n).sum() for n in set(taken.tolist())} == {n: sizes[n][0] for n in set(taken.tolist())}
        assert set(taken.tolist()) <= tells
    if tells and sum(sizes[n][0] for n in tells) <= most:
        assert set(made[0][1].tolist()) == tells
    if not made:
        assert not found.any()


def test_a_ranker_weighs_what_is_worth_more_and_only_within_lists() -> None:
    """What is worth 1 stands above what is worth 0.2, whichever list it is in, though a busy person's rows all pay."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(300), 10)
    busy = np.repeat(rng.random(300) < 0.5, 10)
    kind = rng.integers(0, 3, 3000)
    worth = np.array([0.0, 0.2, 1.0])[kind] + busy
    x = np.column_stack([busy, np.array([5.0, 1.0, 3.0])[kind]]).astype(np.float32)
    training = Sample(x, worth, group, group=group)
    fresh = np.array([[0, 5], [0, 1], [0, 3], [1, 5]], np.float32)
    nothing, little, much, busy_nothing = CHALLENGERS["rank_ndcg"].answers(training, fresh)[0]
    assert nothing < little < much
    assert busy_nothing < little
    assert ndcg_at_k(group, CHALLENGERS["rank_ndcg"].answers(training, x)[0], worth) == pytest.approx(1)


def test_a_ranker_wants_lists() -> None:
    """Without them there is nothing to compare, and the message says what to give."""
    with pytest.raises(ValueError, match=r"Sample\.group"):
        CHALLENGERS["rank_ndcg"].answers(replace(sample(1, rows=20), group=None), np.zeros((1, 3)))


@pytest.mark.parametrize("name", HONEST)
def test_few_negatives_are_put_right(name: str) -> None:
    """A rival that learned from a fifth of the negatives is held to the same outcome: it must not say five times it."""
    test, whole = sample(3, 4_000), sample(1, 4_000)
    drawn = np.random.default_rng(0).random(4_000) < 0.2
    thin = replace(whole, drawn=drawn, negatives=0.2)
    (p,) = CHALLENGERS[name].answers(thin, test.x)
    assert p.mean() == pytest.approx(test.y.mean(), abs=0.04)
    (uncorrected,) = CHALLENGERS[name].answers(replace(thin.to_learn, negatives=1.0), test.x)
    assert uncorrected.mean() > 1.5 * p.mean()
    lying = np.where(drawn | (whole.y > 0), whole.x.T, -whole.x.T).T  # what was left out teaches nothing
    assert np.array_equal(CHALLENGERS[name].answers(replace(thin, x=lying), test.x)[0], p)


@pytest.mark.parametrize("name", EVERY)
def test_without_contrast_nothing_is_made_up(name: str) -> None:
    """Where nobody ever engaged there is nothing to fit: the rate is all that is known, and no row is above another."""
    nobody = Sample(np.ones((5, 1)), np.zeros(5), np.arange(5), group=np.zeros(5, int))
    (p,) = CHALLENGERS[name].answers(nobody, np.ones((3, 1)))
    assert p.tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", EVERY)
def test_being_missing_is_a_signal_of_its_own(name: str) -> None:
    """Where only the absence of a value says anything, each of them sees it."""
    rng = np.random.default_rng(1)
    absent = rng.random(2_000) < 0.5
    y = (rng.random(2_000) < np.where(absent, 0.6, 0.1)).astype(np.float32)
    x = np.column_stack([np.where(absent, np.nan, rng.normal(size=2_000)), rng.normal(size=2_000)])
    training = Sample(x[:1500], y[:1500], np.arange(1500), group=np.arange(1500) // 10)
    assert auc(y[1500:], CHALLENGERS[name].answers(training, x[1500:])[0]) > 0.7


@pytest.mark.parametrize("name", EVERY)
def test_nothing_that_it_is_given_changes(name: str) -> None:
    """Rows to learn from and rows to answer for stay as they are."""
    whole, test = sample(1, rows=300), sample(3, rows=50)
    before = [part.copy() for part in (whole.x, whole.y, test.x)]
    CHALLENGERS[name].answers(whole, test.x)
    for part, was in zip((whole.x, whole.y, test.x), before, strict=True):
        np.testing.assert_array_equal(part, was)
