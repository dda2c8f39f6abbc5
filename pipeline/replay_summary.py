"""What a replay says: means with intervals, paired differences, segments, calibration; and its page in MLflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import metrics
from models.contenders import Knobs
from models.engagement import Floats, Ints
from pipeline import tracking
from pipeline.config import Config
from pipeline.lake import Lake
from pipeline.records import Tracker
from pipeline.report import Report
from pipeline.reports.replay import OURS, PRIMARY, replay_page

_SMALLEST = 11
"""Fewer people than this are no segment."""

Json = Mapping[str, Any]


@dataclass(frozen=True)
class NightGrade:
    """One night: `people` (L,) whose lists are graded, `values` (L,) by method and metric, `groups` (L,) by kind.

    `wanted` pairs could have been listed, out of `readings` that were new to somebody known; each source of candidates
    had `found` so many of them. `expected` and `reached` (listed pairs) are our relevance and what came of it.
    """

    as_of: datetime
    people: Ints
    values: Mapping[str, Mapping[str, Floats]]
    groups: Mapping[str, NDArray[Any]]
    wanted: int
    readings: int
    found: Mapping[str, int]
    trained: str
    expected: Floats
    reached: Floats
    seconds: float


@dataclass(frozen=True)
class ReplayReport(Report):
    """Everything but the pictures. `methods` and `versus` are by method and metric; `knobs` what rivals were given."""

    first: str
    last: str
    nights: int
    person_nights: int
    methods: Mapping[str, Mapping[str, Mapping[str, float]]]
    versus: Mapping[str, Mapping[str, Mapping[str, Any]]]
    knobs: Mapping[str, Mapping[str, float]]
    recall: Mapping[str, float]
    reach: Mapping[str, float]
    segments: Mapping[str, Sequence[Mapping[str, Any]]]
    calibration: Mapping[str, Any]
    by_night: Sequence[Mapping[str, Any]]
    trainings: int
    seconds: float
    report: str | None = None


def run(
    grades: Sequence[NightGrade],
    nights: Sequence[datetime],
    knobs: Mapping[str, Knobs],
    config: Config,
    lake: Lake,
    seconds: float,
) -> ReplayReport:
    """Sum up, and keep a page in MLflow."""
    people = np.concatenate([one.people for one in grades])
    values = _joined(grades)
    methods = {name: {metric: _mean(v, people) for metric, v in of.items()} for name, of in values.items()}
    rivals = [name for name in values if name != OURS]
    versus = {
        name: {metric: _difference(values[OURS][metric], v, people) for metric, v in values[name].items()}
        for name in rivals
    }
    wanted, readings = sum(one.wanted for one in grades), sum(one.readings for one in grades)
    report = ReplayReport(
        first=nights[0].isoformat(),
        last=nights[-1].isoformat(),
        nights=len(nights),
        person_nights=len(people),
        methods=methods,
        versus=versus,
        knobs={name: dict(chosen) for name, chosen in knobs.items()},
        recall={source: sum(one.found[source] for one in grades) / wanted for source in grades[0].found},
        reach={
            "readings": readings,
            "reachable": wanted,
            "listed": float(sum((one.reached > 0).sum() for one in grades)),
        },
        segments=_segments(grades, values, people),
        calibration=_calibration(grades),
        by_night=[_night(one) for one in grades],
        trainings=sum(bool(one.trained) for one in grades),
        seconds=round(seconds, 1),
    )
    html = replay_page(report, config.project.name)
    figures = {f"{metric}.{name}": of["mean"] for name, by in methods.items() for metric, of in by.items()}
    tracker = Tracker(lake.tracking, config.project.name)
    name = f"{nights[0].isoformat()}..{nights[-1].isoformat()} every {config.project.cadence}"
    return replace(report, report=tracking.log_replay(tracker, name, report.to_json(), figures, html))


def _joined(grades: Sequence[NightGrade]) -> dict[str, dict[str, Floats]]:
    return {
        name: {metric: np.concatenate([one.values[name][metric] for one in grades]) for metric in by_metric}
        for name, by_metric in grades[0].values.items()
    }


def _mean(values: Floats, people: Ints) -> dict[str, float]:
    found = metrics.bootstrap_difference(values, np.zeros(len(values)), people)
    return {"mean": found.mean, "low": found.low, "high": found.high}


def _difference(ours: Floats, theirs: Floats, people: Ints) -> dict[str, float | None]:
    found = metrics.bootstrap_difference(ours, theirs, people)
    ratio = float(ours.mean() / theirs.mean()) if theirs.mean() else None
    return {"difference": found.mean, "low": found.low, "high": found.high, "ratio": ratio}


def _segments(
    grades: Sequence[NightGrade], values: Mapping[str, Mapping[str, Floats]], people: Ints
) -> dict[str, list[dict[str, Any]]]:
    """NDCG of ours and of the strongest rival, for every segment of enough people, the largest first."""
    best = max((name for name in values if name != OURS), key=lambda name: float(values[name][PRIMARY].mean()))
    found: dict[str, list[dict[str, Any]]] = {}
    for kind in grades[0].groups:
        names = np.concatenate([one.groups[kind] for one in grades])
        rows = []
        for name in sorted(set(names.tolist())):
            mine = names == name
            if len(np.unique(people[mine])) < _SMALLEST:
                continue
            ours, theirs = values[OURS][PRIMARY][mine], values[best][PRIMARY][mine]
            rows.append(
                {
                    "name": name,
                    "people": len(np.unique(people[mine])),
                    "person_nights": int(mine.sum()),
                    "ours": _mean(ours, people[mine]),
                    "rival": best,
                    "theirs": float(theirs.mean()),
                    **_difference(ours, theirs, people[mine]),
                }
            )
        found[kind] = sorted(rows, key=lambda row: -row["person_nights"])
    return found


def _calibration(grades: Sequence[NightGrade]) -> dict[str, Any]:
    """What listed pairs were expected to be worth against what they were, over the people who came."""
    expected, reached = (np.concatenate([getattr(one, name) for one in grades]) for name in ("expected", "reached"))
    table = metrics.reliability(reached, expected, 10)
    return {
        "expected": float(expected.mean()) if len(expected) else None,
        "reached": float(reached.mean()) if len(reached) else None,
        "predicted": table["predicted"].to_pylist(),
        "observed": table["observed"].to_pylist(),
    }


def _night(one: NightGrade) -> dict[str, Any]:
    return {
        "as_of": one.as_of.isoformat(),
        "people": len(one.people),
        "wanted": one.wanted,
        "found": one.found["union"],
        "trained": one.trained,
        "seconds": round(one.seconds, 2),
        **{name: float(values[PRIMARY].mean()) for name, values in one.values.items()},
    }
