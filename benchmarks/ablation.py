"""Deskdrop taken apart: what each group of features brings, what else was tried, and where the rest is lost.

The nights of `quality_deskdrop`, on rows made by the same functions as a replay's, with models refitted weekly on all
nights whose outcome is known and one setting for all (`models.tuning.DEFAULTS`): quicker than whole replays, and each
line is paired with the first, list by list. A list's NDCG@10 counts what candidates missed, as the replay's does.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

from benchmarks.measure import shortlist
from benchmarks.quality_deskdrop import FILE, configuration
from benchmarks.table import QUICK, Row, finish
from features import rfm, spec
from models import examples, listing, metrics
from models.engagement import Matrix
from models.tuning import DEFAULTS
from pipeline.build_features import Cuts, NightFeatures
from pipeline.config import load
from pipeline.lake import Lake
from pipeline.night import Archive
from pipeline.open_night import OpenNight
from pipeline.rebuild import Rebuilt, of_night

Floats = NDArray[np.float64]

LEARNED_FROM, FIRST, LAST = (datetime(2016, *day, tzinfo=UTC) for day in ((4, 11), (8, 15), (9, 30)))
DAY = timedelta(days=1)
ROUNDS, THREADS = 200, 1
GOALS = ("read",)

NAMES = spec.names(GOALS)
PERSON = spec.names(GOALS, "person")
GROUPS: Mapping[str, tuple[str, ...]] = {
    "who else read it, on any clock": tuple(name for name in NAMES if name.startswith("neighbours")),
    "latent factors": ("factors",),
    "what goes with what was read": ("followed", "beside", "sessions", "covisit"),
    "trends and gravity": tuple(
        name for name in NAMES if name.startswith(("people_", "popularity_", "gravity", "trend"))
    ),
    "the clock of what everybody does": tuple(name for name in NAMES if "busy" in name),
    "reach": ("reach", "reach_1d", "neighbours_reach"),
    "age": ("age_days", "age_busy", "idle_days"),
    "what the person did since it was born": ("events_since_born", "days_since_born", "born_after_days"),
    "z-scores within the list": tuple(name for name in NAMES if name.endswith("_z")),
    "the person alone": PERSON,
}


@dataclass(frozen=True)
class Variant:
    """One way to learn: without some features, from other nights, or by other parameters."""

    name: str
    without: tuple[str, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    seeds: int = 1
    newest: timedelta = DAY
    most: timedelta = timedelta(days=1000)


VARIANTS = (
    Variant("everything"),
    *(Variant(f"without {name}", names) for name, names in GROUPS.items()),
    Variant("judged as the gate judges: without the newest 28 nights", newest=29 * DAY),
    Variant("from 60 nights", most=60 * DAY),
    Variant("from 90 nights", most=90 * DAY),
    Variant("depth 2", params={"max_depth": 2}),
    Variant("depth 5", params={"max_depth": 5}),
    Variant("mean of 4 seeds", seeds=4),
    Variant("forests of 4 trees a round", params={"num_parallel_tree": 4}),
    Variant("monotone in gravity and in neighbours", params={"monotone_constraints": ("gravity", "neighbours_12h")}),
    Variant("rank:ndcg", params={"objective": "rank:ndcg", "lambdarank_pair_method": "topk"}),
    Variant("rank:pairwise", params={"objective": "rank:pairwise"}),
)


@dataclass(frozen=True)
class Night:
    """`x` (N, F), `y`, `content` (N,), and `list_` (N,) the place of a row's person among the graded `people` (L,).

    Those are all candidates of the people who are graded, who then turned to `wanted` (L, contents), and nothing on
    nights that are only learned from. `taught` are the rows to learn from: `x`, `y` and the person.
    """

    as_of: datetime
    x: NDArray[np.float32]
    y: Floats
    list_: NDArray[np.int64]
    content: NDArray[np.int64]
    wanted: Matrix | None
    people: NDArray[np.int64]
    taught: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]


def main() -> None:
    """Measure, print, write."""
    with tempfile.TemporaryDirectory() as folder:
        nights = _nights(_archive(Path(folder)))
    tested = [night for night in nights if night.as_of >= FIRST and len(night.people)]
    people = np.concatenate([night.people for night in tested])
    whole = _ndcg(tested, [night.y for night in tested])
    variants = VARIANTS[:3] if QUICK else VARIANTS
    found = {}
    for one in variants:
        found[one.name] = _ndcg(tested, _scores(one, nights, tested))
        print(f"{one.name}: {found[one.name].mean():.4f}", flush=True)  # noqa: T201  it takes long, and may be cut short
    best = found["everything"]
    lines = [
        Row("lists", len(people)),
        Row("NDCG@10 of everything", float(best.mean())),
        Row("lost: candidates in the wrong order", float((whole - best).mean()), better="lower"),
        Row("lost: no candidate", float(1 - whole.mean()), better="lower"),
    ]
    for name, values in list(found.items())[1:]:
        one = metrics.bootstrap_difference(values, best, people)
        lines += [Row(f"{name}: NDCG@10 more than everything", one.mean)]
        lines += [Row(f"{name}: 95 %, {side}", end) for side, end in (("low", one.low), ("high", one.high))]
    finish("ablation", lines)


def _archive(home: Path) -> Archive:
    shutil.copy(FILE, home)
    (home / "shortlist.toml").write_text(configuration("1d", "always"), encoding="utf-8")
    shortlist(home, "ingest", "--as-of", "2016-10-02")
    config = load(home / "shortlist.toml")
    return Archive.load(Lake.of(config), config, LAST + DAY)


def _nights(archive: Archive) -> list[Night]:
    """Every night from which anything is learned, or on which lists are graded; RFM scores as of the first graded."""
    every = [LEARNED_FROM + i * DAY for i in range((LAST - LEARNED_FROM).days + 1)]
    archive.plan(every)
    made = [_made(NightFeatures.of(archive.night(as_of), archive.config), archive) for as_of in every]
    cuts = rfm.cut_points([rebuilt.people for rebuilt, _ in made if rebuilt.as_of < FIRST])
    return [_night(rebuilt, one, cuts) for rebuilt, one in made]


def _made(found: NightFeatures, archive: Archive) -> tuple[Rebuilt, OpenNight | None]:
    """A night's rows, whole where its lists are graded."""
    graded = found.night.as_of >= FIRST
    rebuilt = of_night(archive, found, archive.config, lists=graded, thinned=not graded)
    return rebuilt, OpenNight.of(found, archive, archive.config, DAY) if graded else None


def _night(rebuilt: Rebuilt, one: OpenNight | None, cuts: Cuts) -> Night:
    rows = rebuilt.shown.scored(cuts, GOALS)  # what is learned from is listed too: the log has no impressions
    taught = rows.thinned
    people = np.zeros(0, np.int64) if one is None else one.people
    kept = np.isin(rows.group, people)
    return Night(
        as_of=rebuilt.as_of,
        x=rows.x[kept],
        y=rows.labels["read"][kept],
        list_=np.searchsorted(people, rows.group[kept]),
        content=rows.content[kept].astype(np.int64),
        wanted=None if one is None else one.wanted,
        people=people if one is None else one.found.history.people[people],
        taught=(taught.x, taught.labels["read"], taught.group),
    )


def _scores(variant: Variant, nights: Sequence[Night], tested: Sequence[Night]) -> list[Floats]:
    """Scores of the tested nights' rows by models that are refitted every seventh night."""
    columns = np.flatnonzero([name not in variant.without for name in NAMES])
    fitted, models, found = None, [], []
    for night in tested:
        if fitted is None or night.as_of - fitted >= 7 * DAY:
            fitted, models = night.as_of, _fit(variant, nights, night.as_of, columns)
        rows = xgboost.DMatrix(night.x[:, columns])
        found.append(np.mean([model.predict(rows, output_margin=True) for model in models], axis=0))
    return found


def _fit(
    variant: Variant, nights: Sequence[Night], as_of: datetime, columns: NDArray[np.int64]
) -> list[xgboost.Booster]:
    known = [one for one in nights if as_of - variant.most <= one.as_of <= as_of - variant.newest]
    x = np.concatenate([one.taught[0] for one in known])[:, columns]
    y = np.concatenate([one.taught[1] for one in known])
    params = {**DEFAULTS, "objective": "binary:logistic", "nthread": THREADS, **variant.params}
    constrained = params.pop("monotone_constraints", ())
    params["monotone_constraints"] = tuple(int(NAMES[at] in constrained) for at in columns)
    group = _lists(known) if str(params["objective"]).startswith("rank") else None
    matrix = xgboost.QuantileDMatrix(x, label=y, qid=group)
    return [xgboost.train({**params, "seed": seed}, matrix, ROUNDS) for seed in range(variant.seeds)]


def _lists(nights: Sequence[Night]) -> NDArray[np.int64]:
    """A number for each list that is learned from, growing along the rows."""
    by_night = np.repeat(np.arange(len(nights)), [len(night.taught[2]) for night in nights])
    lists = np.stack([by_night, np.concatenate([night.taught[2] for night in nights])])
    return np.asarray(np.unique(lists, axis=1, return_inverse=True)[1]).ravel()


def _ndcg(nights: Sequence[Night], scores: Sequence[Floats]) -> Floats:
    """NDCG@10 of every list, one night after the other."""
    return np.concatenate([_of_night(night, score) for night, score in zip(nights, scores, strict=True)])


def _of_night(night: Night, score: Floats) -> Floats:
    place = examples.places(night.list_, score)
    lists = listing.of_pairs(np.arange(len(night.people)), night.list_, night.content, place)
    return listing.measures(lists, night.wanted)["ndcg_10"]


if __name__ == "__main__":
    main()
