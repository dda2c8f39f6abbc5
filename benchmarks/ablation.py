"""Deskdrop taken apart: what each group of features brings, what else was tried, and where the rest is lost.

The nights of `quality_deskdrop`, on rows made by the same functions as a replay's, with models refitted weekly on all
nights whose outcome is known and one setting for all (`models.tuning.DEFAULTS`): quicker than whole replays, and each
line is paired with the first, list by list. A list's NDCG@10 counts what candidates missed, as the replay's does.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

from benchmarks.quality_deskdrop import FILE, configuration
from benchmarks.table import QUICK, Row, finish
from features import spec
from models import metrics
from models.tuning import DEFAULTS
from pipeline.build_features import NightFeatures
from pipeline.config import Config, load
from pipeline.lake import Lake
from pipeline.night import Archive
from pipeline.open_night import OpenNight
from pipeline.rebuild import of_night

Floats = NDArray[np.float64]

LEARNED_FROM, FIRST, LAST = (datetime(2016, *day, tzinfo=UTC) for day in ((4, 11), (8, 15), (9, 30)))
DAY = timedelta(days=1)
ROUNDS, K, THREADS = 200, 10, 1
DISCOUNTS = 1 / np.log2(np.arange(2, K + 2))
IDEAL = np.concatenate([[0.0], np.cumsum(DISCOUNTS)])

NAMES = spec.names(("read",))
PERSON = spec.names(("read",), "person")
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
    """`x` (N, F), `y` (N,), `list_` (N,) the place of a row's person among the graded; `wanted` (L,), `people` (L,).

    `x` are all candidates of the people who are graded, and nothing on nights that are only learned from; `taught` are
    the rows to learn from: `x`, `y` and the person.
    """

    as_of: datetime
    x: NDArray[np.float32]
    y: NDArray[np.bool_]
    list_: NDArray[np.int64]
    wanted: NDArray[np.int64]
    people: NDArray[np.int64]
    taught: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]


def main() -> None:
    """Measure, print, write."""
    with tempfile.TemporaryDirectory() as folder:
        nights = list(_nights(_archive(Path(folder))))
    tested = [night for night in nights if night.as_of >= FIRST and len(night.people)]
    people = np.concatenate([night.people for night in tested])
    whole = _ndcg(tested, [night.y.astype(np.float64) for night in tested])
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
    command = [str(Path(sys.executable).with_name("shortlist")), "ingest", "--as-of", "2016-10-02", "--json"]
    subprocess.run(command, cwd=home, check=True, stdout=subprocess.DEVNULL)
    config = load(home / "shortlist.toml")
    return Archive.load(Lake.of(config), config, LAST + DAY)


def _nights(archive: Archive) -> Iterator[Night]:
    """Every night from which anything is learned, or on which lists are graded."""
    config = archive.config
    every = [LEARNED_FROM + i * DAY for i in range((LAST - LEARNED_FROM).days + 1)]
    archive.plan(every)
    for as_of in every:
        found = NightFeatures.of(archive.night(as_of), config)
        yield _night(found, archive, config, graded=as_of >= FIRST)


def _night(found: NightFeatures, archive: Archive, config: Config, *, graded: bool) -> Night:
    rows = of_night(archive, found, config, lists=True).lists
    if rows is None:
        raise RuntimeError(f"no lists of {found.night.as_of}, though they were asked for")
    thin = rows.thinned
    one = OpenNight.of(found, archive, config, DAY) if graded else None
    people = np.zeros(0, np.int64) if one is None else one.people
    place = np.minimum(np.searchsorted(people, rows.group), max(len(people) - 1, 0))
    kept = people[place] == rows.group if len(people) else np.zeros(rows.size, bool)
    return Night(
        as_of=found.night.as_of,
        x=rows.x[kept],
        y=rows.labels["read"][kept] > 0,
        list_=place[kept],
        wanted=np.zeros(0, np.int64) if one is None else np.diff(one.wanted.indptr).astype(np.int64),
        people=found.history.people[people],
        taught=(thin.x, thin.labels["read"], thin.group),
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
    order = np.lexsort((-score, night.list_))
    list_, y = night.list_[order], night.y[order]
    place = np.arange(len(list_)) - np.searchsorted(list_, list_)
    top = place < K
    gain = np.bincount(list_[top], weights=y[top] * DISCOUNTS[place[top]], minlength=len(night.people))
    return np.asarray(gain / IDEAL[np.minimum(night.wanted, K)])


if __name__ == "__main__":
    main()
