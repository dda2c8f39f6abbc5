"""All that a decision's page says: what was found, what happens next, and how the published lists have done so far.

Nothing is on it that was not known by the night: a past night decided again has the same page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from features import spec
from features.crm import Vocabulary
from models.drift import SCORE, DriftResult, FeatureDrift
from pipeline import decisions, registry
from pipeline.compared_nights import ComparedNights, Nights
from pipeline.config import Config
from pipeline.lake import Lake
from pipeline.records import Tracker
from pipeline.reports.decision import Arm, Compared, Decision, Outcome
from pipeline.reports.dips import Beside
from pipeline.reports.grades import Mark, Measured, NightGrade
from pipeline.retrain_arms import Known

if TYPE_CHECKING:
    from pipeline.check_drift import DriftReport

_SCORE = "mean relevance of a person's candidates, 1 being the night's typical person"
_NIGHTS = 60
"""So many graded nights are drawn."""


def page_of(
    report: DriftReport, known: Known, nights: Mapping[str, ComparedNights], vocabulary: Vocabulary, config: Config
) -> Decision:
    """The page of a decision. `vocabulary` is how the champion reads the CRM: values stand in place of its codes."""
    lake = Lake.of(config)
    zone = ZoneInfo(config.project.timezone)
    result = known.evidence.result
    grades = graded(known.as_of, config, lake)
    since = grades[0].night if grades else known.as_of
    return Decision(
        project=config.project.name,
        as_of=known.as_of.astimezone(zone),
        outcome=_outcome(report),
        verdict=report.verdict,
        then=_then(report, known, config),
        arms=report.arms,
        facts=_facts(report, known, grades),
        faults=known.evidence.faults,
        dips=known.performance.dips,
        beside=_beside(known),
        promised=known.evidence.promised,
        margin=config.retrain.dip_margin,
        result=_readable(result, vocabulary) if result else None,
        twice=report.drifted,
        meanings={SCORE: _SCORE}
        | {one.name: one.meaning for one in spec.features(config.goals, crm=vocabulary.attributes)},
        method=_method(config),
        grades=[replace(one, night=one.night.astimezone(zone)) for one in grades],
        marks=[replace(mark, night=mark.night.astimezone(zone)) for mark in changes(since, known.as_of, config, lake)],
        compared=_compared(known, nights, zone),
    )


# ---------------------------------------------------------------- what happens next


def _outcome(report: DriftReport) -> Outcome:
    if report.blocked:
        return "held back"
    if report.rolled_back:
        return "goes back"
    return "trains" if report.retrain else "stays"


def _then(report: DriftReport, known: Known, config: Config) -> str:
    """What happens, and what there is to do."""
    if report.blocked:
        return (
            "Nothing is trained, ranked or published tonight; what was published last goes on serving. "
            f"When the export is mended: `shortlist run --as-of {report.as_of}`"
        )
    if report.rolled_back:
        lists = f"Version {report.rolled_back['to']} makes tonight's lists"
        return (
            f"{lists}, or a challenger that is trained tonight, if the gate promotes it."
            if report.retrain
            else f"{lists}."
        )
    if report.retrain:
        return f"It serves tonight if the gate promotes it; otherwise {_serves(known)}."
    if config.retrain.when == "never":
        return f"{_first_up(_serves(known))}. `shortlist run --retrain` trains all the same."
    waiting = [arm for arm in report.arms if arm["state"] == "held back"]
    return f"{_first_up(_serves(known))}. {_to_expect(waiting, report)}"


def _serves(known: Known) -> str:
    if known.champion is None:
        return "tonight's lists are made without a model"
    if known.misfit:
        return f"there are no lists tonight: version {known.champion.version} cannot score what is asked for now"
    return f"version {known.champion.version} makes tonight's lists"


def _first_up(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _to_expect(waiting: Sequence[Arm], report: DriftReport) -> str:
    if waiting:
        names = " and ".join(arm["name"] for arm in waiting)
        return f"What {names} found calls for a challenger once the last one is old enough."
    if set(report.moved) - set(report.drifted):
        return "If the same moves on the next night too, a challenger may be trained."
    return "There is nothing to do."


# ---------------------------------------------------------------- at a glance


def _beside(known: Known) -> Beside | None:
    dip = known.performance.predecessor
    if known.champion is None or known.predecessor is None or dip is None:
        return None
    return Beside(known.champion.version, known.predecessor, dip)


def _facts(report: DriftReport, known: Known, grades: Sequence[NightGrade]) -> list[tuple[str, object]]:
    champion, result, faults = known.champion, known.evidence.result, known.evidence.faults
    states = {arm["name"]: arm["state"] for arm in report.arms}
    return [
        ("Champion", f"version {champion.version}, of {champion.as_of.date()}" if champion else "none"),
        ("Went missing", f"{sum(one.burst for one in faults)} of {len(faults)} columns" if faults else None),
        ("Champion does worse", _WORSE.get(states["performance"])),
        (
            "Moved",
            f"{len(result.moved)} of {len(result.features) + (result.together is not None)} distributions"
            if result
            else None,
        ),
        ("Lists, newest grade", _newest(grades[-1]) if grades else None),
    ]


def _newest(grade: NightGrade) -> str:
    beside = f" (most-popular {grade.popular.value:.3f})" if grade.popular else ""
    return f"NDCG@10 {grade.ours.value:.3f}{beside}"


_WORSE = {"fires": "yes", "held back": "yes", "quiet": "no", "cannot tell": "cannot tell"}


def _method(config: Config) -> str:
    settings = config.drift
    return (
        "Shares of people by bin: the reference's tenths, or the commonest values. What moved is what chance does not "
        f"explain (people turned round {settings.permutations} times or more, weighted Benjamini-Hochberg at "
        f"{settings.q:g}) and what has a population stability index of {settings.floor:g} or more. It counts when "
        "chance explains it on neither of two nights in a row, and their mean index is as large."
    )


def _compared(known: Known, nights: Mapping[str, ComparedNights], zone: ZoneInfo) -> list[Compared]:
    result = known.evidence.result
    people = (result.people_reference, result.people_current) if result else None
    drift, performance = nights["drift"], nights["performance"]

    def local(some: Nights) -> list[datetime]:
        return [night.astimezone(zone) for night in some]

    return [
        Compared("People and scores", local(drift.reference), local(drift.current), people, drift.note),
        Compared("How well it does", local(performance.reference), local(performance.current), note=performance.note),
    ]


def _readable(result: DriftResult, vocabulary: Vocabulary) -> DriftResult:
    """With the CRM's values in place of their codes."""
    values = {one.column: one.values for one in vocabulary.attributes if one.values is not None}
    return replace(result, features=tuple(_decoded(one, values.get(one.name)) for one in result.features))


def _decoded(one: FeatureDrift, values: Sequence[str] | None) -> FeatureDrift:
    if values is None:
        return one
    said = {f"{code}": value for code, value in enumerate([*values, "any other value"])}
    return replace(one, bins=tuple(said.get(name, name) for name in one.bins))


# ---------------------------------------------------------------- how the lists did


def graded(as_of: datetime, config: Config, lake: Lake) -> list[NightGrade]:
    """The newest nights that were graded by then, oldest first: NDCG@10 of our lists and of most-popular's."""
    ripe = [night for night in lake.nights("grades") if night + config.outcome_after <= as_of][-_NIGHTS:]
    found: dict[datetime, dict[str, Mapping[str, Any]]] = {night: {} for night in ripe}
    for row in lake.read_nights("grades", ripe).to_pylist():
        if not row.get("segment"):  # of everybody
            found[row["night"]][row["metric"]] = row
    return [_grade(night, rows) for night, rows in found.items() if "ndcg_10" in rows]


def _grade(night: datetime, rows: Mapping[str, Mapping[str, Any]]) -> NightGrade:
    ours, popular, people = rows["ndcg_10"], rows.get("ndcg_10.most_popular"), rows.get("people")
    count = people["value"] if people else ours.get("n")
    return NightGrade(
        night, _measured(ours), _measured(popular) if popular else None, None if count is None else round(count)
    )


def _measured(row: Mapping[str, Any]) -> Measured:
    """Nights of before there were intervals have none."""
    return Measured(row["value"], row.get("low"), row.get("high"))


def changes(since: datetime, as_of: datetime, config: Config, lake: Lake) -> list[Mark]:
    """When another model began to make the lists, from `since` until the night: promotions, and ways back.

    Ways back are read off the decisions: each says which version served, or which one it went back to.
    """
    tracker = Tracker(lake.tracking, config.project.name)
    promoted = [
        Mark(one.as_of, f"version {one.version}")
        for one in registry.versions(tracker)
        if one.promoted and since <= one.as_of < as_of
    ]
    return sorted([*promoted, *_back(since, as_of, lake)], key=lambda mark: mark.night)


def _back(since: datetime, as_of: datetime, lake: Lake) -> Iterator[Mark]:
    records = sorted(decisions.between(lake, since, as_of).items())
    served = [(night, (one.get("rolled_back") or {}).get("to") or one.get("champion")) for night, one in records]
    known = [(night, int(version)) for night, version in served if version]
    yield from (Mark(night, f"back to {now}") for (_, then), (night, now) in pairwise(known) if now < then)
