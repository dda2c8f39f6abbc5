"""Worked examples: what the words say is what the row holds, and the factors multiply to its odds."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import expit

from features import spec, words
from models.classifier import Bundle, GoalModel, matrix, train
from pipeline import who
from pipeline.build_features import NO_CRM
from pipeline.compare import predictions
from pipeline.rows import Rows
from pipeline.tell_examples import Telling, worded

GOALS = ("click",)
NAMES = spec.names(GOALS)
NIGHT = datetime(2026, 6, 30, tzinfo=UTC)
LISTS, SIZE = 30, 30


def rows(shift: float = 0) -> Rows:
    """Thirty lists of thirty; `covisit` and `events_7d` decide what is clicked, `shift` makes it rarer or commoner."""
    rng = np.random.default_rng(0)
    n = LISTS * SIZE
    x = rng.normal(size=(n, len(NAMES))).astype(np.float32)
    x[:, NAMES.index("events_7d")] = rng.integers(0, 9, n)
    x[rng.random(x.shape) < 0.02] = np.nan
    covisit, events = (np.nan_to_num(x[:, NAMES.index(name)]) for name in ("covisit", "events_7d"))
    log_odds = 0.7 * covisit + 0.2 * events - 2 + shift
    person = np.repeat((np.arange(LISTS) + 1) << 40, SIZE)
    return Rows(
        said=x,
        raw=np.zeros((n, 3)),
        labels={"click": (rng.random(n) < expit(log_odds)).astype(np.float32)},
        person=person,
        content=np.tile(np.arange(SIZE, dtype=np.int32), LISTS),
        ids=pa.array([f"c{number:02d}" for number in range(SIZE)]),
        group=np.repeat(np.arange(LISTS), SIZE),
        nights=((0, NIGHT - timedelta(days=1)), (LISTS // 2, NIGHT)),
        popularity=np.zeros(n),
        crm=pa.table({"group": pa.array([], pa.int64())}),
        drawn=np.ones(n, bool),
        negatives=1.0,
    )


@pytest.fixture(name="telling", scope="module")
def _telling() -> Telling:
    return telling_of(rows())


def telling_of(lists: Rows) -> Telling:
    """What a small model learns of the lists, and tells of them."""
    y = lists.labels["click"]
    built = matrix(lists.x, NAMES, y)
    booster = train(built, matrix(lists.x, NAMES, y, ref=built), {"max_depth": 2}, 10, 5, 0)
    model = GoalModel.of("click", booster, {}).calibrated(lists.x, y, lists.person)
    bundle = Bundle({"click": model}, {"click": 1.0})
    return Telling.of(lists, predictions(bundle, lists.x), bundle, GOALS, NO_CRM, None)


def strongest(telling: Telling, row: int) -> dict[str, float]:
    """The five features that move a row most, with how far."""
    moved = telling.bundle.models["click"].contributions(telling.rows.x[row : row + 1])[0]
    return dict(sorted(zip(NAMES, moved[:-1].tolist(), strict=True), key=lambda c: -abs(c[1]))[:5])


def factors_of(telling: Telling, row: int) -> list[float]:
    """What they make of the odds."""
    return [math.exp(moves) for moves in strongest(telling, row).values()]


def test_the_words_are_the_row(telling: Telling) -> None:
    """Each example is a row of its kind: place, probability, person, outcome, and every reason with its value."""
    told = list(telling.told())
    assert [one["title"] for one in told] == [
        "Listed high, and engaged", "Listed high, and not engaged", "Engaged, but listed low",
    ]  # fmt: skip
    lists, features = telling.rows, {one.name: one for one in telling.features}
    p = telling.bundle.models["click"].predict(lists.x)
    for one in told:
        facts = dict(one["facts"])
        place = int(facts["Place"].split(" of ")[0])
        factors = [reason["factor"] for reason in one["reasons"]]
        (row,) = [row for row in np.flatnonzero(telling.place == place).tolist() if factors == factors_of(telling, row)]
        assert str(lists.person[row]) not in str(one)
        assert who.short(int(lists.person[row])) not in str(one)
        assert facts["Person"].split(", ")[0] in ("new", "light", "heavy")
        mine = lists.group == lists.group[row]
        assert 1 + int((p[mine] > p[row]).sum()) <= place <= int((p[mine] >= p[row]).sum())
        assert facts["Night"] == ("2026-06-29" if lists.group[row] < LISTS // 2 else "2026-06-30")
        assert one["content"] == f"c{row % SIZE:02d}"
        engaged = lists.labels["click"][row] > 0
        assert one["happened"] == ("What happened: click." if engaged else "What happened: nothing.")
        assert (place > 10) if "low" in one["title"] else (place <= 3)
        assert engaged == ("not engaged" not in one["title"])
        best = strongest(telling, row)
        assert [reason["words"] for reason in one["reasons"]] == [
            worded(features[name], float(lists.x[row, NAMES.index(name)])) for name in best
        ]
        assert one["summing"].endswith(f"calibrated, that is {facts['P(click)']}.")


@pytest.mark.parametrize("shift", [-4, 0, 4])
def test_the_factors_multiply_to_the_odds(shift: float) -> None:
    """Where the odds begin, the reasons and all the rest, as they are said, make the odds before calibration."""
    telling = telling_of(rows(shift))
    model = telling.bundle.models["click"]
    rounded = math.log(1.05)  # of a number said with two digits, or whole from 10 on, at most 5 % were rounded away
    parts, begins = [], set()
    for row in range(0, LISTS * SIZE, 7):
        reasons, summing = telling._reasons(row)
        base, rest = said_in(summing)
        margin = float(model.margin(telling.rows.x[row : row + 1])[0])
        factors = math.prod(one["factor"] for one in reasons)
        assert math.log(base * rest * factors) == pytest.approx(margin, abs=2 * rounded)
        assert float(model.probabilities(np.array([margin]))[0]) == pytest.approx(telling.p[row])
        begins.add(base)
        parts.append([abs(math.log(part)) for part in (base, rest, factors)])
    assert len(begins) == 1, "every row's odds begin alike"
    assert np.max(parts, axis=0).min() > 2 * rounded, "each part is more than what rounding hides"


def said_in(summing: str) -> tuple[float, float]:
    """The odds at which it begins, and the factor of all other features."""
    said = re.match(r"The odds begin at (\S+) to (\S+), all other features together multiply them by (\S+); ", summing)
    assert said, summing
    above, below, rest = (float(number.replace(",", "")) for number in said.groups())
    return above / below, rest


def test_every_feature_has_words_for_every_value() -> None:
    """A value, nothing and what is missing read as words; of a person they are those of `shortlist features`."""
    for one in spec.features(("click",)):
        for value in (0.0, 1.0, 0.123, float("nan")):
            said = worded(one, value)
            assert said
            assert "nan" not in said.split()
    events = next(one for one in spec.features(GOALS) if one.name == "events_7d")
    assert worded(events, 3.0) == words.in_words(events, 3.0) == "3 things done in 7 days"
    share = next(one for one in spec.features(GOALS) if one.name == "affinity_category_7d")
    assert worded(share, 0.25).startswith("25 % of the person's decayed activity")
    assert worded(share, float("nan")).endswith(": not known")
