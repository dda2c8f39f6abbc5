"""What other lists would have been worth, judged by published lists that were drawn by lot (`models.off_policy`).

The other lists are those of today's configuration and model, at any temperature. A night counts once its outcome is
whole, and only if the model was trained before it: one that has learned from what came of a night would be praised for
knowing it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from models import off_policy
from models.metrics import Interval
from models.off_policy import Support, Tally, Values
from pipeline import manifest, snapshot_names
from pipeline.config import Config
from pipeline.drawn_night import Target, is_drawn, opened
from pipeline.errors import ShortlistError
from pipeline.lake import Lake
from pipeline.night import Archive
from pipeline.report import Report
from pipeline.reports.page import DASH
from pipeline.serving import Model

ESTIMATORS = {"ips": "IPS", "snips": "SNIPS", "dr": "doubly robust"}

Json = Mapping[str, Any]


@dataclass(frozen=True)
class EvaluateReport(Report):
    """What the target's lists would have been worth a person and night, in goals' worth.

    `by_place` has, for the first place, the first two and so on, the values down to there with their 95 % intervals
    (`logged`, and `ips`, `snips` and `dr` with their differences to it), and the `support`. `told` is of how many
    places something can be told; `problem` says why of no more. `nights` are summed up down to there, else over all;
    `nights_left_out` and `left_out` count the nights that are not among them, and people-nights, by why.
    """

    as_of: str
    model_version: str
    temperature: float
    nights: tuple[Json, ...]
    nights_left_out: Mapping[str, int]
    lists: int
    people: int
    left_out: Mapping[str, int]
    places: int
    told: int
    problem: str | None
    by_place: tuple[Json, ...]
    verdict: str


@dataclass(frozen=True)
class _Night:
    """One night by itself: its snapshot, how many lists, and what they say down to each place."""

    as_of: datetime
    name: str
    lists: int
    values: Sequence[Values]
    supports: Sequence[Support]

    @classmethod
    def of(cls, as_of: datetime, name: str, tally: Tally) -> _Night:
        """Of its lists alone; intervals are for all nights together."""
        return cls(as_of, name, tally.total, off_policy.values(tally, draws=0), off_policy.supports(tally))

    def summary(self, places: int) -> Json:
        """Down to a place."""
        values, support = self.values[places - 1], self.supports[places - 1]
        return {
            "as_of": self.as_of.isoformat(),
            "snapshot": self.name,
            "lists": self.lists,
            **{name: _number(getattr(values, name).mean) for name in ("logged", *ESTIMATORS)},
            "ess": support.ess,
            "mean_weight": support.mean,
        }


def run(
    as_of: datetime,
    config: Config,
    *,
    first: datetime | None = None,
    last: datetime | None = None,
    temperature: float | None = None,
    on_night: Callable[[int, int], None] | None = None,
) -> EvaluateReport:
    """Judge today's configuration and model, at a `temperature` if one is given, by the nights from `first` to `last`.

    Raises:
        ShortlistError: No night's lists were drawn by lot, no outcome is whole, or the model has learned from them all.
    """
    lake, told = Lake.of(config), on_night or (lambda done, of: None)
    heat = config.ranking.temperature if temperature is None else temperature
    target = Target(Model.serving(as_of, config, lake), config, heat)
    due, nights_left_out = _due(as_of, config, lake, target.model, first, last)
    archive = _archive(as_of, config, lake, [night for night, _ in due])
    places = min(config.ranking.k, *(int(manifest.load(path)["k"]) for _, path in due))
    nights, left_out, whole = [], dict[str, int](), None
    for done, (night, path) in enumerate(due):
        told(done, len(due))
        logged, others = opened(path, night, archive, target, lake, places)
        left_out = {why: left_out.get(why, 0) + many for why, many in others.items()}
        if len(logged.person):
            tally = Tally.of(logged)
            nights.append(_Night.of(night, path.name, tally))
            whole = tally if whole is None else whole + tally  # people are kept, not their nights
    told(len(due), len(due))
    if whole is None:
        raise ShortlistError(f"nobody is left to judge by: {_counted(left_out, 'people-nights')}.")
    return _report(as_of, target, nights, nights_left_out, whole, left_out)


# ---------------------------------------------------------------- which nights


def _due(
    as_of: datetime, config: Config, lake: Lake, model: Model, first: datetime | None, last: datetime | None
) -> tuple[list[tuple[datetime, Path]], dict[str, int]]:
    """Nights and snapshots to judge by, and how many are none, by why; of one night the last that was published."""
    newest = snapshot_names.by_night(lake.rankings)
    asked = [(n, p) for n, p in newest.items() if (first is None or first <= n) and (last is None or n <= last)]
    drawn = [(night, path) for night, path in asked if is_drawn(path)]
    if not drawn:
        raise ShortlistError(
            f"none of {len(asked)} published tables was drawn by lot: every propensity is 1, and no other lists can be "
            "judged by them. Set `temperature` under [ranking] (0.1 is a little), publish, and wait for the outcome."
        )
    whole = [(night, path) for night, path in drawn if night + config.known_after <= as_of]
    if not whole:
        ripe = min(night for night, _ in drawn) + config.known_after
        raise ShortlistError(
            f"{len(drawn)} published tables were drawn by lot, but the outcome of none is whole at "
            f"{as_of.isoformat()}: that of the first will be at {ripe.isoformat()}."
        )
    fair = [(night, path) for night, path in whole if model.trained is None or night >= model.trained]
    if not fair:
        raise ShortlistError(
            f"model version {model.version} was trained for {model.trained}, so it may have learned from what came of "
            f"all {len(whole)} tables that were drawn by lot and have a whole outcome. Wait for that of a later one."
        )
    counts = len(asked) - len(drawn), len(drawn) - len(whole), len(whole) - len(fair)
    return fair, dict(
        zip(("not drawn by lot", "outcome not whole", "before the model's training"), counts, strict=True)
    )


def _archive(as_of: datetime, config: Config, lake: Lake, nights: Sequence[datetime]) -> Archive:
    """All that any of the nights may look at, and what came of them."""
    days = (as_of - nights[0]).days + 1 + config.training.history_days
    archive = Archive.load(lake, config, as_of, days)
    if (known := archive.last_ts()) < nights[-1]:
        raise ShortlistError(
            f"the lake knows of nothing after {known.isoformat()}, so what came of {nights[-1].isoformat()} is "
            "unknown. Ingest what came after, or choose an earlier --to."
        )
    archive.plan(nights)
    return archive


# ---------------------------------------------------------------- what they say


def _report(
    as_of: datetime,
    target: Target,
    nights: Sequence[_Night],
    nights_left_out: Mapping[str, int],
    tally: Tally,
    left_out: Mapping[str, int],
) -> EvaluateReport:
    supports, values = off_policy.supports(tally), off_policy.values(tally)
    told = off_policy.told(supports)
    return EvaluateReport(
        as_of=as_of.isoformat(),
        model_version=target.model.version,
        temperature=target.temperature,
        nights=tuple(one.summary(told or tally.places) for one in nights),
        nights_left_out=nights_left_out,
        lists=tally.total,
        people=len(tally.people),
        left_out=left_out,
        places=tally.places,
        told=told,
        problem=None if told == tally.places else supports[told].problem,
        by_place=tuple(_place(*both) for both in zip(values, supports, strict=True)),
        verdict=_verdict(values, supports, told),
    )


def _place(values: Values, support: Support) -> Json:
    intervals = {name: _interval(one) for name, one in vars(values).items() if isinstance(one, Interval)}
    return {"places": values.places, **intervals, "support": {**vars(support), "problem": support.problem}}


def _interval(one: Interval) -> Json:
    return {name: _number(value) for name, value in one._asdict().items()}


def _number(value: float) -> float | None:
    """What JSON can say: a figure that is not defined is none."""
    return None if math.isnan(value) else value


def _verdict(values: Sequence[Values], supports: Sequence[Support], told: int) -> str:
    """By the doubly robust estimate, of as many places as can be told of."""
    if not told:
        return f"cannot tell: {supports[0].problem}"
    found, logged = values[told - 1].dr_difference, values[told - 1].logged.mean
    what = "would have been worth more" if found.low > 0 else "would have been worth less" if found.high < 0 else None
    where = "the lists" if told == len(values) else f"the first {told} places (of more one cannot tell)"
    share = f"{found.mean / logged:+.1%}, " if logged else ""
    said = f"{share}{found.mean:+.4f} a list, 95 % {found.low:+.4f} to {found.high:+.4f}"
    return f"{where} {what}: {said}" if what else f"no difference is shown in {where}: {said}"


def _counted(left_out: Mapping[str, int], what: str) -> str:
    return ", ".join(f"{many:,} {what} ({why})" for why, many in left_out.items() if many)


# ---------------------------------------------------------------- on a screen


def draw(report: EvaluateReport, out: Console) -> None:
    """The verdict, every estimate down to where something can be told, and how well each place is supported."""
    shown = report.by_place[(report.told or report.places) - 1]
    out.print(_values(report, shown))
    out.print(_supports(report))
    for left_out, what in ((report.nights_left_out, "nights"), (report.left_out, "people-nights")):
        if any(left_out.values()):
            out.print(f"left out: {_counted(left_out, what)}", markup=False)
    if report.told and report.problem:
        out.print(f"no further than {report.told} places: {report.problem}", markup=False)
    out.print(report.verdict, style="bold", markup=False)


def _values(report: EvaluateReport, shown: Json) -> Table:
    title = (
        f"worth of a list's first {shown['places']} places, by {report.lists:,} lists of {report.people:,} people; "
        f"nights: {len(report.nights)}"
    )
    table = Table("", "value", "95 %", "difference", "95 %", title=title, title_justify="left")
    table.add_row("as they were", *_cells(shown["logged"], "{:.4f}"), "", "")
    for name, label in ESTIMATORS.items():
        target = f"model {report.model_version} at {report.temperature:g}: {label}"
        table.add_row(target, *_cells(shown[name], "{:.4f}"), *_cells(shown[f"{name}_difference"], "{:+.4f}"))
    return table


def _cells(one: Json, form: str) -> tuple[str, str]:
    mean, low, high = (DASH if one[name] is None else form.format(one[name]) for name in ("mean", "low", "high"))
    return mean, f"{low} to {high}"


def _supports(report: EvaluateReport) -> Table:
    """A row a place: for how many lists they count, and whether they can tell of the target's."""
    table = Table("down to place", "lists count for", "mean weight", "never made", "shown to nobody", "")
    for one in report.by_place:
        support = one["support"]
        table.add_row(
            str(support["place"]),
            f"{support['ess']:,.0f}",
            f"{support['mean']:.3f} ± {support['error']:.3f}",
            f"{support['zero']:.1%}",
            f"{support['unshown']:.1%}",
            "ok" if support["problem"] is None else "cannot tell",
        )
    return table
