"""What is read for a decision's page, and `shortlist decision`: nights as they were written, by whichever release."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline import decision_page, registry, tracking
from pipeline.config import Config
from pipeline.records import Tracker
from pipeline.reports.grades import Mark, Measured, NightGrade
from tests.pipeline.small import House, Said, shortlist, table_source
from tests.pipeline.trainings import DAY, NIGHT, trained

GOAL = '[goals.click]\nevents = ["click"]\nhorizon_days = 1\n'


@pytest.fixture(name="house")
def _house(tmp_path: Path) -> House:
    """A house in which nothing happened yet; an outcome is known a day later."""
    return House(tmp_path)


def configured(house: House) -> Config:
    """Its configuration."""
    return house.configure(table_source("web", "events") + GOAL)


# ---------------------------------------------------------------- grades


def test_grades_of_before_and_after_there_were_intervals(house: House) -> None:
    """Old nights have a figure and no more; a group's grade is not everybody's."""
    config, lake = configured(house), house.lake
    old = {"metric": ["ndcg_10", "ndcg_10.most_popular", "people"], "value": [0.1, 0.05, 300.0]}
    new = [
        {"metric": "ndcg_10", "value": 0.2, "low": 0.15, "high": 0.25, "n": 400, "segment": None},
        {"metric": "ndcg_10", "value": 0.9, "low": 0.8, "high": 1.0, "n": 11, "segment": "new"},
        {"metric": "ndcg_10.most_popular", "value": 0.08, "low": None, "high": None, "n": 400, "segment": None},
    ]
    lake.replace_night("grades", pa.table(old), NIGHT - 5 * DAY)
    lake.replace_night("grades", pa.Table.from_pylist(new), NIGHT - 4 * DAY)
    assert decision_page.graded(NIGHT, config, lake) == [
        NightGrade(NIGHT - 5 * DAY, Measured(0.1), Measured(0.05), 300),
        NightGrade(NIGHT - 4 * DAY, Measured(0.2, 0.15, 0.25), Measured(0.08), 400),
    ]


def test_a_past_night_knows_no_grade_of_its_future(house: House) -> None:
    """What has matured by then, of that the 60 newest nights; and none where nothing was graded."""
    config, lake = configured(house), house.lake
    assert decision_page.graded(NIGHT, config, lake) == []
    for back in range(70):
        lake.replace_night("grades", pa.table({"metric": ["ndcg_10"], "value": [0.1]}), NIGHT - back * DAY)
    found = decision_page.graded(NIGHT - 5 * DAY, config, lake)
    first_known = config.outcome_after
    assert len(found) == 60
    assert found[-1].night == NIGHT - 5 * DAY - first_known
    assert found[0].night == found[-1].night - 59 * DAY


# ---------------------------------------------------------------- which model


def decide(house: House, back: int, **record: Any) -> dict[str, Any]:
    """Write down the decision of so many nights ago in the lake."""
    night = NIGHT - back * DAY
    arms = [
        {"name": "age", "fired": False, "state": "quiet", "detail": "2 days old.", "figures": {"statistic": 2.0}},
        {"name": "drift", "fired": True, "state": "fires", "detail": "score moved.", "figures": {"statistic": 0.4}},
    ]
    whole = {"as_of": night.isoformat(), "verdict": "Train a challenger.", "champion": "1", "arms": arms, **record}
    house.lake.replace_night("decisions", pa.table({"decision": [json.dumps(whole)]}), night)
    return whole


def show(house: House, record: dict[str, Any]) -> None:
    """Put it into MLflow as well, with its page."""
    night = datetime.fromisoformat(record["as_of"])
    tracking.log_decision(Tracker(house.lake.tracking, "small"), night, record, f"page of {night}")


def test_promotions_and_ways_back_are_marked_at_their_night(house: House) -> None:
    """Promoted, and the older one again, by hand or by the night itself, which still asks the one that it takes back.

    A challenger that was refused, and what came later, are no marks.
    """
    config, lake = configured(house), house.lake
    tracker = Tracker(lake.tracking, "small")
    for back in (9, 6, 4, 1):
        version = trained(tracker, NIGHT - back * DAY)
        if back == 4:
            registry.refuse(tracker, version, "no better")
        else:
            registry.promote(tracker, version, NIGHT - back * DAY)
    by_night = {"from": "2", "to": "1", "why": "worse"}
    by_hand = {8: ("1", None), 5: ("2", None), 3: ("1", None), 2: ("1", None)}
    by_itself = {**by_hand, 3: ("2", by_night)}
    for nights in (by_hand, by_itself):
        for back, (champion, rolled_back) in nights.items():
            decide(house, back, champion=champion, rolled_back=rolled_back)
        assert decision_page.changes(NIGHT - 7 * DAY, NIGHT - DAY, config, lake) == [
            Mark(NIGHT - 6 * DAY, "version 2"),
            Mark(NIGHT - 3 * DAY, "back to 1"),
        ]
    assert decision_page.changes(NIGHT, NIGHT + DAY, config, lake) == []


# ---------------------------------------------------------------- the command


def ask(capsys: pytest.CaptureFixture[str], house: House, *arguments: str) -> Said:
    """`shortlist decision` in the house."""
    return shortlist(capsys, "decision", "--config", house.file, *arguments)


def test_the_newest_decision_is_told_with_every_reason_and_its_page(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    """The one that decides first; the page is the night's own, whichever was written last."""
    configured(house)
    said = ask(capsys, house, "--as-of", "2026-03-01")
    assert (said.code, said.lacks("nothing was decided for 2026-03-01", "`shortlist drift` decides")) == (1, [])
    newest = decide(house, 1)
    show(house, newest)
    show(house, decide(house, 2, verdict="The champion stays."))
    told = ask(capsys, house, "--as-of", "2026-03-01", "--json").json
    assert (told["as_of"], told["decision"]) == ((NIGHT - DAY).isoformat(), newest)
    assert Path(told["page"]).read_text() == f"page of {NIGHT - DAY}"
    words = ask(capsys, house, "--as-of", "2026-03-01").err
    places = [words.index(one) for one in ("Train a challenger.", "score moved.", "largest PSI 0.4", "2 days old.")]
    assert places == sorted(places)
    assert "decision.html" in words
    earlier = ask(capsys, house, "--as-of", (NIGHT - DAY - timedelta(hours=1)).isoformat(), "--json").json
    assert earlier["decision"]["verdict"] == "The champion stays."
    decide(house, 0)
    assert ask(capsys, house, "--as-of", "2026-03-01", "--json").json["page"] is None
