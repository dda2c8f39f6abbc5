"""Is a new model warranted tonight, and why: no champion, somebody asked, its age, or its inputs and scores moved."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features import spec
from models import drift
from models.classifier import Bundle
from models.drift import DriftResult, FeatureDrift
from pipeline import score, tracking
from pipeline.build_features import NightFeatures, crm_of, fits
from pipeline.bundles import load_bundle
from pipeline.config import Config
from pipeline.lake import Lake
from pipeline.night import Archive
from pipeline.records import ModelVersion, Tracker
from pipeline.report import Report
from pipeline.reports import decision_page
from pipeline.reports.decision import Arm, Decision, FeatureRow
from pipeline.reports.page import DASH
from pipeline.shards import shard_of

_NONE_YET = "there is no champion yet"


@dataclass(frozen=True)
class DriftReport(Report):
    """The night's decision: whether to retrain, the sentence that says why, and what each arm found."""

    as_of: str
    retrain: bool
    verdict: str
    champion: str | None
    arms: tuple[Arm, ...]
    drifted: tuple[str, ...]
    features: tuple[FeatureRow, ...]


@dataclass(frozen=True)
class _Windows:
    """The nights compared, and what the test said; `result` is None where there is nothing to compare yet."""

    reference: tuple[datetime, ...] = ()
    current: tuple[datetime, ...] = ()
    result: DriftResult | None = None
    note: str = ""
    misfit: bool = False
    """The champion cannot score what the configuration asks for now."""


def run(as_of: datetime, config: Config, *, retrain: bool = False) -> DriftReport:
    """Decide, and write the decision down: in the lake, in MLflow as JSON, and as a page."""
    lake = Lake.of(config)
    tracker = Tracker(lake.tracking, config.project.name)
    champion = tracking.champion(tracker, as_of)
    windows = (
        _compare(champion, as_of, config, lake, tracker)
        if champion
        else _Windows(note="there is no champion to compare with")
    )
    report = _decide(champion, windows, as_of, config, forced=retrain)
    record = json.loads(json.dumps(report.to_json()))
    lake.replace_night("decisions", pa.table({"decision": [json.dumps(record, sort_keys=True)]}), as_of)
    tracking.log_decision(tracker, as_of, record, decision_page(_page(report, windows, config)))
    return report


def _decide(
    champion: ModelVersion | None, windows: _Windows, as_of: datetime, config: Config, *, forced: bool
) -> DriftReport:
    """Every arm is looked at and shown; the first that speaks gives the reason."""
    arms = _arms(champion, windows, as_of, config, forced=forced)
    fired = next((arm for arm in arms if arm["fired"]), None)
    never = config.retrain.when == "never" and not forced
    if fired is None:
        verdict = "The champion stays: nothing calls for a new model."
    elif never:
        verdict = f"No training, because retrain.when is never; otherwise: {fired['detail']}"
    else:
        verdict = f"Train a challenger: {fired['detail']}"
    result = windows.result
    features = tuple(_row(feature) for feature in result.features) if result else ()
    return DriftReport(
        as_of=as_of.isoformat(),
        retrain=fired is not None and not never,
        verdict=verdict,
        champion=champion.version if champion else None,
        arms=tuple(arms),
        drifted=tuple(f["name"] for f in features if f["drifted"]),
        features=features,
    )


def _row(one: FeatureDrift) -> FeatureRow:
    return FeatureRow(name=one.name, psi=one.psi, p_value=one.p_value, adjusted=one.adjusted, drifted=one.drifted)


def _arms(
    champion: ModelVersion | None, windows: _Windows, as_of: datetime, config: Config, *, forced: bool
) -> list[Arm]:
    age = (as_of - champion.as_of) / timedelta(days=1) if champion else None
    most = config.retrain.max_age_days
    drifted = [f for f in windows.result.features if f.drifted] if windows.result else []
    moved = ", ".join(f"{f.name} (PSI {f.psi:.3f}, p {f.adjusted:.4f})" for f in drifted[:3])
    return [
        Arm(name="asked for", fired=forced, detail="somebody asked for it (--retrain)." if forced else "nobody asked."),
        Arm(name="always", fired=config.retrain.when == "always", detail=f"retrain.when is {config.retrain.when}."),
        Arm(
            name="no champion",
            fired=champion is None,
            detail=f"{_NONE_YET}." if champion is None else f"version {champion.version} serves.",
        ),
        Arm(
            name="goals",
            fired=windows.misfit,
            detail="the champion was trained for other goals or features."
            if windows.misfit
            else (f"{_NONE_YET}." if champion is None else "the champion was trained for these goals."),
        ),
        Arm(
            name="age",
            fired=age is not None and age >= most,
            detail=f"{_NONE_YET}." if age is None else f"the champion is {age:.1f} days old; {most:g} are allowed.",
        ),
        Arm(
            name="drift",
            fired=bool(drifted),
            detail=f"{len(drifted)} of {len(windows.result.features)} distributions moved: {moved or 'none'}."
            if windows.result
            else f"not tested: {windows.note}.",
        ),
    ]


# ---------------------------------------------------------------- the comparison


def _compare(champion: ModelVersion, as_of: datetime, config: Config, lake: Lake, tracker: Tracker) -> _Windows:
    """The champion's last training nights against the nights since it was trained."""
    bundle = load_bundle(tracker, champion.version)
    count = config.drift.nights
    reference = tuple(datetime.fromisoformat(night) for night in bundle.context["nights"][-count:])
    step = max(config.project.step, timedelta(days=1))
    current = tuple(sorted(n for n in (as_of - i * step for i in range(count)) if n > champion.as_of))
    if not fits(bundle, config):
        return _Windows(reference, current, note="the champion was trained for other goals or features", misfit=True)
    if len(current) < count:
        return _Windows(
            reference, current, note=f"{len(current)} nights since the champion was trained; {count} are needed"
        )
    archive = Archive.load(lake, config, as_of)
    archive.plan([*reference, *current])
    log_days = (reference[0] - archive.first_ts()) / timedelta(days=1)
    parts = [
        (side, _night(archive, night, bundle, config, log_days))
        for side, nights in ((0, reference), (1, current))
        for night in nights
    ]
    window = np.concatenate([np.full(len(people), side) for side, (people, _) in parts])
    person = np.concatenate([people for _, (people, _) in parts])
    frame = {name: np.concatenate([columns[name] for _, (_, columns) in parts]) for name in parts[0][1][1]}
    settings = config.drift
    result = drift.check(
        frame,
        person,
        window,
        permutations=settings.permutations,
        q=settings.q,
        floor=settings.floor,
        seed=config.training.seed,
    )
    return _Windows(reference, current, result)


def _night(
    archive: Archive, as_of: datetime, bundle: Bundle, config: Config, log_days: float
) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float64]]]:
    """A stable sample of the night's people: each one's features, and the mean relevance of their candidates.

    Features that look further back than the log went (`log_days`) on the reference nights are left out: they grow with
    the log, which says nothing about people.
    """
    found = NightFeatures.of(archive.night(as_of), config)
    people = _sample(found.history.people, config.drift.people)
    goals = tuple(config.goals)
    vocabulary = crm_of(bundle)
    matrix = found.person_matrix(goals, bundle.context["cuts"], vocabulary)[people]
    scored = score.score(found, bundle, config, people)
    place = np.searchsorted(people, scored.person)
    total = np.bincount(place, weights=scored.relevance, minlength=len(people))
    candidates = np.bincount(place, minlength=len(people))
    columns = {"score": np.divide(total, candidates, out=np.full(len(people), np.nan), where=candidates > 0)}
    listed = spec.features(goals, crm=vocabulary.attributes)
    person = [feature for feature in listed if feature.group == "person"]
    for feature, values in zip(person, matrix.T, strict=True):
        if feature.memory_days <= log_days:
            columns[feature.name] = values.astype(np.float64)
    return found.history.people[people], columns


def _sample(people: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Sorted indices of at most `most` people: the same ones every night, whoever else is there."""
    order = np.lexsort((people, shard_of(people, 1 << 14)))
    return np.sort(order[:most])


def _page(report: DriftReport, windows: _Windows, config: Config) -> Decision:
    result, settings = windows.result, config.drift
    return Decision(
        project=config.project.name,
        as_of=report.as_of,
        retrain=report.retrain,
        verdict=report.verdict,
        arms=report.arms,
        features=report.features,
        reference={"nights": _dates(windows.reference), "people": result.people_reference if result else DASH},
        current={"nights": _dates(windows.current), "people": result.people_current if result else DASH},
        facts=[("Champion", report.champion or "none")],
        method="Population stability index on reference deciles; "
        f"its null by permuting people ({settings.permutations} times); "
        f"Benjamini-Hochberg at {settings.q:g}; at least {settings.floor:g} to count.",
    )


def _dates(nights: Sequence[datetime]) -> str:
    return f"{nights[0].date()} to {nights[-1].date()} ({len(nights)})" if nights else "none"
