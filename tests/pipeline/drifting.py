"""A company whose days are alike until its people change, and what is decided about its model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np

from features import rfm, spec
from models import classifier
from models.classifier import Bundle, GoalModel
from pipeline import check_drift, ingest, registry, tracking
from pipeline.build_features import NightFeatures, goals_of
from pipeline.check_drift import DriftReport
from pipeline.config import Config
from pipeline.lake import Lake
from pipeline.night import Archive
from pipeline.records import Tracker, TrainingRecord
from pipeline.reports.decision import State
from tests.pipeline.small import House

AS_OF = datetime(2026, 7, 1, tzinfo=UTC)
DAY = timedelta(days=1)
PEOPLE, DAYS, CHANGED = 40, 40, 3
SETTINGS = """
[[sources]]
name = "log"
format = "table"
table = "events"
path = "log.csv"
[goals.click]
events = ["click"]
[ranking]
hide_engaged = false
[drift]
nights = 2
"""
Change = Literal["nothing", "devices", "clicks", "export", "few"]
FEW = 3
"""People who are shown things, where it is they who change."""


def write_log(house: House, change: Change) -> None:
    """Everybody does the same every day; half the people have a mobile, and those click.

    Since the champion was trained, all have a mobile, or the others click, or tonight's export knows no devices, or a
    few are shown a tenth of what they were.
    """

    def device(person: int, back: int) -> str | None:
        if change == "export" and back == 1:
            return None
        return "mobile" if person % 2 or (change == "devices" and back <= CHANGED) else "desktop"

    def clicks(person: int, back: int) -> int:
        return int(bool(person % 2) != (change == "clicks" and back <= CHANGED + 1))

    rows = [
        {
            "ts": (AS_OF - back * DAY + timedelta(hours=9 + visit)).isoformat(),
            "visitor_id": f"v{person}",
            "content_id": f"c{(person + visit) % 12}",
            "event": ("view", "click")[visit % 2 and clicks(person, back)],
            "device": device(person, back),
        }
        for back in range(DAYS, 0, -1)
        for person in range(PEOPLE)
        for visit in range(4 + person % 5)
    ]
    if change == "few":
        rows += [
            {
                "ts": (AS_OF - back * DAY + timedelta(hours=8, minutes=shown)).isoformat(),
                "visitor_id": f"v{person}",
                "content_id": f"c{shown % 12}",
                "event": "impression",
                "device": device(person, back),
            }
            for back in range(DAYS, 0, -1)
            for person in range(FEW)
            for shown in range(1 if back <= CHANGED else 10)
        ]
    house.write_csv("log.csv", rows)


def bundle(config: Config, house: House, trained: datetime, *, on: str = "mobile_share", less: bool = False) -> Bundle:
    """A model of one split, on who has a mobile, as if trained on the two nights before the last it could know.

    Or on something else; with `less` of it as the better sign.
    """
    names = spec.names(config.goals)
    x = np.zeros((200, len(names)), np.float32)
    x[::2, names.index(on)] = 0.04
    matrix = classifier.matrix(x, names, ((x.max(axis=1) > 0) != less).astype(float))
    booster = classifier.train(matrix, matrix, {"max_depth": 1}, 1, 5, seed=1)
    nights = [trained - 3 * DAY, trained - 2 * DAY]
    people = [NightFeatures.of(Archive.load(house.lake, config, night).night(night), config).people for night in nights]
    context = {
        "nights": [night.isoformat() for night in nights],
        "cuts": rfm.cut_points(people),
        "goals": goals_of(config),
        "tested": [(trained - back * DAY).isoformat() for back in (5, 4, 3, 2)],
    }
    return Bundle({"click": GoalModel.of("click", booster, {})}, {"click": 1.0}, context)


@dataclass(frozen=True)
class Company:
    """A house with a champion that was trained some nights ago."""

    house: House
    trained: datetime

    def config(self, more: str = "", state: str = "state") -> Config:
        """Its configuration; another `state` knows no champion."""
        return self.house.configure(f'state = "{state}"\n{SETTINGS}{more}')

    def decide(self, as_of: datetime = AS_OF, *, retrain: bool = False, **config: str) -> DriftReport:
        """The night's decision."""
        return check_drift.run(as_of, self.config(**config), retrain=retrain)

    def tracker(self, **config: str) -> Tracker:
        """Its MLflow."""
        found = self.config(**config)
        return Tracker(Lake.of(found).tracking, found.project.name)

    def promote(self, model: Bundle, trained: datetime, **config: str) -> None:
        """A model that serves from then on."""
        tracker = self.tracker(**config)
        record = TrainingRecord(as_of=trained, goals=("click",), files=model.to_files())
        registry.promote(tracker, tracking.log_training(tracker, record), trained)


def company(folder: Path, change: Change) -> Company:
    """Ingested, and with a champion of three nights ago; where anything moved, it was looked at last night too."""
    one = Company(House(folder), AS_OF - CHANGED * DAY)
    write_log(one.house, change)
    config = one.config()
    ingest.run(AS_OF, config)
    one.promote(bundle(config, one.house, one.trained), one.trained)
    if change == "devices":
        one.decide(AS_OF - DAY)
    return one


def arms(report: DriftReport) -> dict[str, tuple[State, str]]:
    """What each arm came to, and what it says."""
    return {arm["name"]: (arm["state"], arm["detail"]) for arm in report.arms}
