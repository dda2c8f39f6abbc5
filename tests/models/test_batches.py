"""Rows in batches: however they are split, the same bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import xgboost as xgb
from hypothesis import given, settings
from hypothesis import strategies as st

from models import classifier, learning
from models.batches import Batch, Stream
from models.classifier import GoalModel, binned, grow, held_out, matrix, train
from models.learning import Sample, anew, stream
from models.metrics import auc
from pipeline import scratch
from tests.examples import examples

FEATURES = ("steady", "often missing", "whole number", "always missing")
PARAMS = {"max_depth": 4, "learning_rate": 0.3, "subsample": 0.8, "colsample_bytree": 0.5, "nthread": 2}
ROWS = 3_000


def sample(seed: int, *, rows: int = ROWS, weighted: bool = False) -> Sample:
    """Rows of which two in five may be learned from, with missing values of three kinds."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, len(FEATURES))).astype(np.float32)
    y = (rng.random(rows) < 1 / (1 + np.exp(1 - 2 * x[:, 0]))).astype(np.float32)
    x[rng.random(rows) < 0.6, 1] = np.nan
    x[:, 2], x[:, 3] = np.round(3 * x[:, 2]), np.nan
    weight = rng.random(rows) * 3 if weighted else None
    return Sample(x, y, np.arange(rows), rng.random(rows) < 0.4, 0.4, weight=weight)


def split(whole: Batch, cuts: Sequence[int]) -> Stream:
    """The rows in batches that end at `cuts`."""
    ends = [0, *sorted(cuts), len(whole.y)]

    def batches() -> Iterator[Batch]:
        for start, end in pairwise(ends):
            yield whole.where(np.isin(np.arange(len(whole.y)), np.arange(start, end)))

    return Stream(len(whole.y), batches)


def trees(built: xgb.QuantileDMatrix) -> bytes:
    """What is learned from a matrix."""
    return bytes(grow(built, PARAMS, 5, seed=3).save_raw("ubj"))


@settings(max_examples=examples(15))
@given(st.booleans(), st.booleans(), st.integers(1, ROWS))
def test_what_lies_in_files_teaches_the_same_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, weighted: bool, sketched: bool, at_a_time: int
) -> None:
    """Bins on disk, and rows in a file that memory lets go of after every batch; the file of bins ends with them."""
    one, folder = sample(1, weighted=weighted), tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learning, "BATCH", at_a_time)
        patch.setattr(classifier, "SKETCHED", 100 if sketched else ROWS)
        expected = trees(binned(stream([one]), FEATURES))
        patch.setattr(classifier, "PAGED_CELLS", 100)
        patch.setattr(scratch, "IN_MEMORY", 0)
        mapped = scratch.floats(one.x.shape, folder)
        mapped[:] = one.x
        built = binned(stream([replace(one, x=mapped)]), FEATURES, pages=str(folder / "bins"))
        assert len(list(folder.iterdir())) == 1
        assert trees(built) == expected
    del built
    assert list(folder.iterdir()) == []
    assert np.array_equal(mapped, one.x, equal_nan=True)


@settings(max_examples=examples(15))
@given(st.booleans(), st.lists(st.integers(0, ROWS), max_size=6))
def test_how_rows_are_split_changes_no_byte(weighted: bool, cuts: list[int]) -> None:
    """Cuts, bins, labels and weights are those of one array, also where a batch is empty or a single row."""
    one = sample(0, weighted=weighted)
    whole = Batch(one.x, one.y, one.weight)
    assert trees(binned(split(whole, cuts), FEATURES)) == trees(matrix(one.x, FEATURES, one.y, one.weight))


@pytest.mark.parametrize("size", [7, 100, 4096])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_sample_teaches_the_same_whatever_is_copied_at_a_time(
    size: int, weighted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows that were not drawn are left out, in whatever batches; so are those of several samples."""
    samples = [sample(seed, rows=400, weighted=weighted and seed > 0) for seed in range(3)]
    kept = [one.to_learn for one in samples]
    x, y = (np.concatenate([getattr(one, name) for one in kept]) for name in ("x", "y"))
    weight = np.concatenate([np.ones(len(one.y)) if one.weight is None else one.weight for one in kept])
    expected = trees(matrix(x, FEATURES, y, weight if weighted else None))
    monkeypatch.setattr(learning, "BATCH", size)
    assert stream(samples).rows == len(y)
    assert trees(binned(stream(samples), FEATURES)) == expected


def test_cuts_of_many_rows_are_sketched_from_some(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the rows, drawn by lot and the same ones however they are split, tells about as much as all."""
    one, new = sample(0, rows=10_000), sample(1, rows=10_000)
    whole = Batch(one.x, one.y)
    of_all = trees(binned(split(whole, []), FEATURES))
    monkeypatch.setattr(classifier, "SKETCHED", 1_000)
    of_some = {trees(binned(split(whole, cuts), FEATURES)) for cuts in ([], [1, 2, 3, 500], [9_999])}
    assert len(of_some) == 1
    assert of_some != {of_all}
    found = [xgb.Booster(model_file=bytearray(raw)).inplace_predict(new.x) for raw in (of_all, *of_some)]
    assert auc(new.y, found[1]) == pytest.approx(auc(new.y, found[0]), abs=0.003)
    assert auc(new.y, found[0]) > 0.75


def test_a_draw_is_of_about_the_size_that_was_asked_for() -> None:
    """And a drawn row keeps its own label and weight."""
    one = sample(2, weighted=True)
    drawn = split(Batch(one.x, one.y, one.weight), [7, 1_000]).drawn(300)
    found = drawn.whole()
    assert drawn.rows == len(found.y) == pytest.approx(300, abs=60)
    places = np.searchsorted(np.sort(one.x[:, 0]), found.x[:, 0])
    order = np.argsort(one.x[:, 0])
    assert one.weight is not None
    assert found.weight is not None
    assert np.array_equal(one.weight[order][places], found.weight)
    assert np.array_equal(one.y[order][places], found.y)


def test_no_row_is_copied_before_it_is_asked_for() -> None:
    """A stream of a sample looks at labels and draws alone, and where all is learned from its batches are views."""
    one = replace(sample(3), drawn=None)
    batches = list(stream([one]).batches())
    assert all(np.shares_memory(batch.x, one.x) for batch in batches)
    assert sum(len(batch.y) for batch in batches) == len(one.y)


@pytest.mark.parametrize("plain", [0, 10**9])
def test_held_out_rows_weigh_what_they_weigh(plain: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses are weighted, in the training's bins and without them: each row of weight 2 counts like two rows."""
    monkeypatch.setattr(classifier, "PLAIN_CELLS", plain)
    built, one = binned(stream([sample(0)]), FEATURES), replace(sample(1, rows=600), drawn=None)
    double = np.where(np.arange(600) % 2, 2.0, 1.0)
    twice = np.repeat(np.arange(600), double.astype(int))
    heavy = held_out(stream([replace(one, weight=double)]), FEATURES, built)
    repeated = held_out(stream([replace(one, x=one.x[twice], y=one.y[twice])]), FEATURES, built)
    losses = [train(built, judged, PARAMS, 5, 5, 1).best_score for judged in (heavy, repeated)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_rows_of_another_width_are_refused() -> None:
    """The error says which features were expected, from within XGBoost's passes as well."""
    narrow = Stream(5, lambda: iter([Batch(np.ones((5, 2), np.float32), np.ones(5))]))
    with pytest.raises(ValueError, match=r"rows of shape \(5, 2\), expected \(N, 4\): steady"):
        binned(narrow, FEATURES)


def test_what_serves_does_not_depend_on_how_its_nights_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trees grown anew on three samples are the bytes of trees grown on one that holds all their rows."""
    samples = [sample(seed, rows=500) for seed in range(3)]
    built = binned(stream(samples), FEATURES)
    model = GoalModel.of("click", train(built, built, PARAMS, 6, 6, 1), PARAMS)
    kept = [one.to_learn for one in samples]
    x, y, people = (np.concatenate([getattr(one, name) for one in kept]) for name in ("x", "y", "people"))
    monkeypatch.setattr(learning, "BATCH", 64)
    assert anew(model, samples, 3).booster_ubj == anew(model, [Sample(x, y, people)], 3).booster_ubj
