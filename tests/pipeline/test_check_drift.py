"""The decision to retrain: each arm with its sentence, at a company whose days are all alike."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline import check_drift, rank, registry
from pipeline.errors import ShortlistError
from pipeline.sections import Goal
from tests.pipeline.drifting import AS_OF, DAY, Company, arms, bundle, company
from tests.pipeline.ranking import read_ranked


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Company:
    """A company where nothing changes."""
    return company(tmp_path_factory.mktemp("steady"), "nothing")


def test_nothing_calls_for_a_new_model(steady: Company) -> None:
    """Where every day is like the last, the champion stays, and each arm says why it is silent."""
    report = steady.decide()
    assert not report.retrain
    assert report.verdict.startswith("The champion stays: nothing calls for a new model.")
    assert (report.champion, report.moved, report.drifted) == ("1", (), ())
    said = arms(report)
    assert said | {"performance": (), "expected performance": ()} == {
        "data quality": ("quiet", "none of 6 columns misses more than it did."),
        "asked for": ("quiet", "nobody asked."),
        "always": ("quiet", "retrain.when is needed."),
        "no champion": ("quiet", "version 1 serves."),
        "goals": ("quiet", "the champion was trained for these goals."),
        "performance": (),
        "predecessor": ("not tested", "not tested: there is no other model to compare with."),
        "drift": ("quiet", f"0 of {len(report.features)} distributions moved: none."),
        "age": ("quiet", "the champion is 3.0 days old; 30 are allowed."),
        "expected performance": (),
    }
    assert said["expected performance"][0] == "quiet"
    assert "score" in {feature["name"] for feature in report.features}


def test_too_few_engagements_are_not_called_fine(steady: Company) -> None:
    """40 people cannot prove that nothing got worse: the arm and the verdict say so, with what it would take."""
    report = steady.decide()
    state, said = arms(report)["performance"]
    assert state == "cannot tell"
    assert "cannot tell with" in said
    assert "cannot be told yet" in report.verdict


def test_an_old_champion_is_challenged(steady: Company) -> None:
    """At its greatest age, not a day later, a champion has to prove itself."""
    report = steady.decide(more="[retrain]\nmax_age_days = 3\n")
    assert (report.retrain, report.verdict) == (
        True,
        "Train a challenger: the champion is 3.0 days old; 3 are allowed.",
    )
    assert not steady.decide(more="[retrain]\nmax_age_days = 3.1\n").retrain


def test_a_champion_that_is_worse_than_its_predecessor_is_taken_back(steady: Company) -> None:
    """It lists what people have *not* turned to before. The night that is run again says the same."""
    state = {"state": "two"}
    config, house = steady.config(**state), steady.house
    for trained, less in ((AS_OF - 8 * DAY, False), (AS_OF - 4 * DAY, True)):
        steady.promote(bundle(config, house, trained, on="seen", less=less), trained, **state)
    report = steady.decide(**state)
    assert arms(report)["predecessor"][0] == "rolls back"
    assert report.rolled_back is not None
    assert (report.rolled_back["from"], report.rolled_back["to"]) == ("2", "1")
    assert report.verdict.startswith("Version 2 is taken back, and version 1 serves again: on the nights since then")
    assert not report.retrain
    serving = registry.champion(steady.tracker(**state), AS_OF)
    assert serving is not None
    assert serving.version == "1"
    again = steady.decide(**state)
    assert again.rolled_back == report.rolled_back
    assert again.verdict == report.verdict
    earlier = registry.champion(steady.tracker(**state), AS_OF - DAY)
    assert earlier is not None
    assert earlier.version == "2"


def test_a_champion_that_is_better_than_its_predecessor_stays(steady: Company) -> None:
    """The other way round nothing is taken back, and both figures are told."""
    state = {"state": "better"}
    config, house = steady.config(**state), steady.house
    for trained, less in ((AS_OF - 8 * DAY, True), (AS_OF - 4 * DAY, False)):
        steady.promote(bundle(config, house, trained, on="seen", less=less), trained, **state)
    report = steady.decide(**state)
    state_of, said = arms(report)["predecessor"]
    assert state_of in {"quiet", "cannot tell"}
    assert "version 1 would have reached NDCG@10" in said
    assert report.rolled_back is None


def test_somebody_asked(steady: Company) -> None:
    """--retrain trains whatever the settings say."""
    report = steady.decide(retrain=True, more='[retrain]\nwhen = "never"\n')
    assert (report.retrain, report.verdict) == (True, "Train a challenger: somebody asked for it (--retrain).")


def test_always(steady: Company) -> None:
    """A company may want a challenger every night."""
    report = steady.decide(more='[retrain]\nwhen = "always"\n')
    assert (report.retrain, report.verdict) == (True, "Train a challenger: retrain.when is always.")


def test_no_champion(steady: Company) -> None:
    """Without a model there is nothing to compare, and something to train."""
    report = steady.decide(state="empty")
    assert (report.retrain, report.verdict) == (True, "Train a challenger: there is no champion yet.")
    assert report.champion is None
    for name in ("drift", "performance"):
        assert arms(report)[name] == ("not tested", "not tested: there is no champion to compare with.")
    assert arms(report)["age"] == arms(report)["goals"] == ("quiet", "there is no champion yet.")


def test_never(steady: Company) -> None:
    """Where a company never wants to train, the reason that there would have been is still told."""
    report = steady.decide(state="empty", more='[retrain]\nwhen = "never"\n')
    assert (report.retrain, report.verdict) == (
        False,
        "No training, because retrain.when is never; otherwise: there is no champion yet.",
    )


def test_a_young_champion_is_not_tested_yet(steady: Company) -> None:
    """Fewer nights than the comparison wants since the training: no drift is claimed, and none denied."""
    report = steady.decide(AS_OF - 2 * DAY)
    assert not report.retrain
    assert arms(report)["drift"][1] == "not tested: 1 nights since the champion was trained; 2 are needed."


def test_a_champion_of_other_goals_cannot_be_compared(steady: Company) -> None:
    """Another goal gives other features: they are not compared column by column with what they are not."""
    report = steady.decide(more='[goals.like]\nevents = ["like"]\n')
    assert arms(report)["drift"][1] == "not tested: the champion was trained for other goals or features."


def test_other_goals_call_for_another_model(steady: Company) -> None:
    """A goal that was added or redefined cannot be scored by the champion: train, and until then refuse to rank."""
    asked = '[goals.read]\nevents = ["view"]\n'
    report = steady.decide(more=asked)
    assert report.retrain
    assert report.verdict == "Train a challenger: the champion was trained for other goals or features."
    with pytest.raises(ShortlistError, match=r"version 1 was trained for other goals or features .* now \(click\)"):
        rank.run(AS_OF, steady.config(more=asked))


def test_a_weight_needs_no_training(steady: Company) -> None:
    """A marketer who doubles a goal's weight doubles tonight's scores, and the champion stays."""
    scores = []
    for weight in (1, 2):
        config = steady.config().model_copy(update={"goals": {"click": Goal(events=("click",), weight=weight)}})
        assert not check_drift.run(AS_OF, config).retrain
        rank.run(AS_OF, config)
        scores.append(np.array(read_ranked(steady.house.lake, AS_OF)["people"]["score"]))
    assert scores[1] == pytest.approx(2 * scores[0])
    assert scores[0].min() > 0
