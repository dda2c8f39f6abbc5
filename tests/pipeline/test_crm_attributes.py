"""What the CRM says of people, from its snapshots to the models' rows: as of the night, and as it was learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from features import crm, rfm, spec
from features.crm import Vocabulary
from features.measures import Attribute
from models import classifier
from models.classifier import Bundle, GoalModel
from pipeline import check_drift, feature_report, rebuild, registry, score, tracking
from pipeline.build_features import NightFeatures, crm_of, fits, goals_of
from pipeline.config import Config
from pipeline.lake import Lake
from pipeline.records import Tracker, TrainingRecord
from pipeline.rows import Rows, joined, scored
from pipeline.training_rows import TrainingRows, collect
from tests.features.images import image
from tests.pipeline.lakes import END, FIRST, NIGHT, VISITORS, archive, config_in, fortnight, tables, written
from tests.pipeline.lakes import joined as together

DAY = timedelta(days=1)
PLAN = Vocabulary((Attribute("crm_plan", "plan", ("free", "pro")),))
WIDTH = len(spec.names(("click", "read", "purchase"), "person"))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The fortnight's settings, with nights enough to split."""
    return config_in(tmp_path_factory.mktemp("crm"), training={"nights": 12})


def company(plans: Mapping[int, str | None]) -> dict[str, pa.Table]:
    """The fortnight, whose visitors are in a CRM of their own: `plans` by day of March, of all of them."""
    contacts: list[dict[str, Any]] = [
        {"customer_id": person, "attributes": [("plan", plan)], "day": FIRST.date().replace(day=day), "source": "crm2"}
        for day, plan in plans.items()
        for person in VISITORS
    ]
    return together(fortnight(), tables(customers=contacts))


def seen(plans: Mapping[int, str | None], config: Config, as_of: datetime = NIGHT) -> NightFeatures:
    """A night of that company."""
    return NightFeatures.of(archive(company(plans), config).night(as_of), config)


def plans_of(found: NightFeatures, config: Config) -> list[float]:
    """What the visitors who are nobody else's have as `crm_plan` in the models' rows, each different value once."""
    matrix = found.person_matrix(tuple(config.goals), None, PLAN)
    assert matrix.shape == (found.people.num_rows, WIDTH + 1)
    alone = np.isin(found.history.people, VISITORS)
    assert alone.sum() > 10
    return np.unique(matrix[alone, WIDTH]).tolist()


def bundle(config: Config, vocabulary: Vocabulary | None, trained: datetime = NIGHT) -> Bundle:
    """A model of one split, on the CRM's plan if it knows one: more than 0 will click."""
    names = spec.names(config.goals, crm=vocabulary.attributes if vocabulary else ())
    x = np.zeros((200, len(names)), np.float32)
    x[::2, names.index("crm_plan" if vocabulary else "mobile_share")] = 1
    matrix = classifier.matrix(x, names, (x.max(axis=1) > 0).astype(float))
    booster = classifier.train(matrix, matrix, {"max_depth": 1}, 1, 5, seed=1)
    nights = [trained - 4 * DAY, trained - 3 * DAY]
    context = {
        "nights": [night.isoformat() for night in nights],
        "cuts": {name: [1.0, 2.0] for name in rfm.RAW},
        "goals": goals_of(config),
        **({"crm": vocabulary.to_json()} if vocabulary else {}),
    }
    return Bundle({"click": GoalModel.of("click", booster, {})}, {"click": 1.0}, context)


# ---------------------------------------------------------------- as of the night


def test_a_night_reads_the_snapshot_as_of_itself(config: Config) -> None:
    """Not a later one, nor that of the day which has only begun; an older one if there is no other."""
    plans = {5: "free", 9: "pro", 10: "free", 12: "free"}
    assert plans_of(seen(plans, config), config) == [1.0]
    assert plans_of(seen(plans, config, NIGHT + DAY), config) == [0.0]
    assert plans_of(seen({5: "free"}, config), config) == [0.0]
    assert np.isnan(plans_of(seen({10: "free"}, config), config)).all()


def test_a_visitor_is_the_customer_whom_we_know_them_to_be(config: Config) -> None:
    """From the night on which we know it; somebody who is in no CRM is missing."""
    found = tables(
        events=[{"ts": NIGHT - DAY, "person": person, "content_id": "c01"} for person in (1, 2)],
        identities=[{"id": 1, "other_id": 101, "available_at": NIGHT}],
        customers=[{"customer_id": 101, "attributes": [("plan", "pro")]}],
    )
    for as_of, expected in ((NIGHT, {1: None, 2: None}), (NIGHT + DAY, {101: 1.0, 2: None})):
        night = NightFeatures.of(archive(found, config).night(as_of), config)
        column = night.person_matrix(tuple(config.goals), None, PLAN)[:, WIDTH].tolist()
        got = dict(zip(night.history.people.tolist(), [None if np.isnan(v) else v for v in column], strict=True))
        assert got == expected


def test_rows_to_learn_from_are_what_is_ranked(config: Config) -> None:
    """Each row has the plan that its own person had as of its own night, by the code that ranking uses."""
    found = archive(company({2: "free", 8: "pro", 10: "new"}), config)
    nights = [NIGHT - 2 * DAY, NIGHT, NIGHT + DAY]
    parts = [night.shown for night in rebuild.rebuild(found, nights, config, lists=False)]
    rows, goals, cuts = joined(parts), tuple(config.goals), {name: [1.0, 2.0] for name in rfm.RAW}
    whole = rows.scored(cuts, goals, PLAN)
    assert image(scored(parts, cuts, goals, PLAN)) == image(whole)
    assert whole.x.dtype == np.float32
    assert whole.x.shape[1] == len(spec.names(goals, crm=PLAN.attributes)) == rows.x.shape[1] + 1
    known = []
    for as_of in nights:
        night = NightFeatures.of(found.night(as_of), config)
        matrix = night.person_matrix(goals, cuts, PLAN)
        place = {person: at for at, person in enumerate(night.history.people.tolist())}
        known.append({person: matrix[at] for person, at in place.items()})
    of_night = np.searchsorted(_ends(found, nights, config), np.arange(rows.size), side="right")
    expected = np.stack([known[at][person] for at, person in zip(of_night, rows.person.tolist(), strict=True)])
    np.testing.assert_array_equal(whole.x[:, : WIDTH + 1], expected)
    assert set(np.unique(expected[:, WIDTH][~np.isnan(expected[:, WIDTH])])) == {0, 1, 2}
    np.testing.assert_array_equal(whole.x[:, WIDTH + 1 :], rows.x[:, WIDTH:])


def _ends(found: Any, nights: list[datetime], config: Config) -> list[int]:
    return np.cumsum([one.shown.size for one in rebuild.rebuild(found, nights, config, lists=False)]).tolist()


def test_another_vocabulary_takes_the_place_of_the_first(config: Config) -> None:
    """As when a champion is compared with its challenger on the same rows."""
    (night,) = rebuild.rebuild(archive(company({2: "pro"}), config), [NIGHT], config, lists=False)
    goals, cuts = tuple(config.goals), {name: [1.0, 2.0] for name in rfm.RAW}
    wide = Vocabulary((Attribute("crm_a", "plan", ("pro",)), Attribute("crm_b", "seats")))
    first = night.shown.scored(cuts, goals, wide)
    for vocabulary in (PLAN, Vocabulary()):
        direct = night.shown.scored(cuts, goals, vocabulary)
        np.testing.assert_array_equal(first.scored(cuts, goals, vocabulary).x, direct.x)


# ---------------------------------------------------------------- learned on training nights


def rows_of(config: Config) -> TrainingRows:
    """The rows of a training at the end of the fortnight, in which a plan comes up on 7 March."""
    found = collect(archive(company({2: "free", 4: "pro", 7: "new"}), config), config)
    assert isinstance(found, TrainingRows)
    return found


@pytest.fixture(scope="module")
def data(config: Config) -> TrainingRows:
    """Those of all nights."""
    return rows_of(config)


def test_a_vocabulary_is_learned_on_the_training_nights_alone(data: TrainingRows, config: Config) -> None:
    """What only the validation and test nights knew is "other" there; a column is in all rows."""
    assert data.split.train[-1] <= FIRST + 6 * DAY < data.split.validation[0]
    (plan,) = (one for one in data.vocabulary.attributes if one.name == "plan")
    assert set(plan.values or ()) == {"free", "pro"}
    names = spec.names(config.goals, crm=data.vocabulary.attributes)
    at = names.index("crm_plan")
    for rows, codes in ((data.train, {0, 1, 2}), (data.validation, {2}), (data.test, {2}), (data.lists, {2})):
        assert rows.x.shape[1] == len(names)
        values = rows.x[np.isin(rows.person, VISITORS), at]
        assert set(np.unique(values)) <= codes
        assert 2 in values or rows is data.train


def test_the_newest_rows_keep_their_own_people(data: TrainingRows, config: Config) -> None:
    """A limit of rows drops the oldest; what the CRM says of the others stays with them."""
    most = data.train.size // 2
    fewer = config.training.model_copy(update={"max_rows": most})
    newest = rows_of(config.model_copy(update={"training": fewer})).train
    assert newest.size == most
    np.testing.assert_array_equal(newest.x, data.train.x[-most:])


def test_without_a_crm_there_are_no_attributes(config: Config) -> None:
    """And nothing else changes."""
    found = {**fortnight(), "customers": tables()["customers"]}
    data = collect(archive(found, config), config)
    assert isinstance(data, TrainingRows)
    assert data.vocabulary == Vocabulary()
    assert data.train.x.shape[1] == len(spec.names(config.goals))


# ---------------------------------------------------------------- with a model


def test_ranking_reads_the_crm_as_the_model_learned_it(config: Config) -> None:
    """Tonight's new values are "other", whatever their number; a new attribute is nobody's feature."""
    found = seen({8: "gold"}, config)
    people = np.arange(len(found.history.people))
    model = bundle(config, PLAN)
    assert fits(model, config)
    assert crm_of(Bundle.from_files(model.to_files())) == PLAN
    other = score.score(found, model, config, people)
    named = replace(PLAN, attributes=(replace(PLAN.attributes[0], values=("gold", "pro")),))
    first = score.score(found, bundle(config, named), config, people)
    visitors = np.isin(found.history.people[other.person], VISITORS)
    assert other.relevance[visitors].min() > first.relevance[visitors].max()


def test_a_model_that_was_trained_before_the_crm_still_fits(config: Config) -> None:
    """It reads nothing of it; nor does whoever has no model."""
    model = bundle(config, None)
    assert (fits(model, config), crm_of(model), crm_of(None)) == (True, Vocabulary(), Vocabulary())
    found = seen({8: "pro"}, config)
    people = np.arange(len(found.history.people))
    assert len(score.score(found, model, config, people).relevance)
    assert len(score.score(found, None, config, people).relevance)


def test_a_model_that_reads_other_attributes_than_it_says_does_not_fit(config: Config) -> None:
    """The bundle is checked against itself, too."""
    model = bundle(config, PLAN)
    context = {**model.context, "crm": Vocabulary().to_json()}
    assert not fits(Bundle(model.models, model.weights, context), config)


@pytest.mark.parametrize("plans", [{2: "free", 14: "pro"}, {}])
def test_drift_of_what_the_crm_says_is_seen(plans: Mapping[int, str | None], tmp_path: Path) -> None:
    """The champion's codes on both windows; where nobody is in the CRM any more nothing breaks."""
    config = config_in(tmp_path, training={"nights": 5}, drift={"nights": 2})
    written(company(plans), config)
    lake = Lake.of(config)
    tracker = Tracker(lake.tracking, config.project.name)
    trained = END - 4 * DAY
    record = TrainingRecord(as_of=trained, goals=("click",), files=bundle(config, PLAN, trained).to_files())
    registry.promote(tracker, tracking.log_training(tracker, record), trained)
    report = check_drift.run(END, config)
    (found,) = (one for one in report.features if one["name"] == "crm_plan")
    assert found["drifted"] == bool(plans)


def test_the_report_on_a_nights_features_knows_them(config: Config) -> None:
    """They are the champion's, and no table is expected to hold them."""
    found = seen({8: "pro"}, config)
    listed = feature_report.listed(found.people, config, PLAN)
    gain = {"click": {"crm_plan": 1.0}}
    page = feature_report.page(NIGHT, found.people, found.contents, listed, None, gain, config)
    (row,) = (row for row in page.features if row.name == "crm_plan")
    assert row.importance == {"click": 1.0}
    assert not [text for text in page.missing if "crm_plan" in text]


def test_rows_hold_what_the_crm_said_of_their_own_people(config: Config) -> None:
    """And of nobody else."""
    (night,) = rebuild.rebuild(archive(company({8: "pro"}), config), [NIGHT], config, lists=True)
    for rows in (night.shown, night.lists):
        assert isinstance(rows, Rows)
        assert set(rows.crm["person_id"].to_pylist()) <= set(rows.person.tolist())
        assert (
            dict(zip(rows.crm["group"].to_pylist(), rows.crm["person_id"].to_pylist(), strict=True)).items()
            <= dict(zip(rows.group.tolist(), rows.person.tolist(), strict=True)).items()
        )
        assert rows.crm.column_names == [*crm.FACTS.names, "group"]
