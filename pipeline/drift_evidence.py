"""What the drift check looks at: people's features and scores on the compared nights, and what the exports left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features import spec
from features.crm import Vocabulary
from models import drift, learning
from models.bursts import Burst, bursts
from models.classifier import Bundle
from models.drift import DriftResult
from models.performance import expected_auc
from pipeline import looks, score
from pipeline.build_features import NightFeatures, crm_of
from pipeline.compared_nights import ComparedNights, day_or_step
from pipeline.config import Config
from pipeline.looks import Arrays
from pipeline.night import Archive
from pipeline.rebuild import stable_sample

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RAW = ("dwell_seconds", "device", "country", "channel", "value", "session_id")
"""Columns of events that nobody must fill; where a source does, and stops, its export is broken."""


@dataclass(frozen=True)
class Evidence:
    """What moved, what the scores promise of themselves (by goal: AUC then and now), and what went missing.

    `result` is None where there was nothing to compare people with.
    """

    result: DriftResult | None
    promised: Mapping[str, tuple[float, float]]
    faults: tuple[Burst, ...]


def found(
    archive: Archive,
    seen: Mapping[datetime, Seen],
    bundle: Bundle,
    nights: ComparedNights,
    before: Mapping[str, float],
    as_of: datetime,
    config: Config,
) -> Evidence:
    """Compare what was known on the compared nights, and on tonight's and the reference's days.

    `seen` has the people of the compared nights, unless they are not compared. `before` is what was beyond chance on
    the night before. Faults of the data need no nights since the training: tonight alone is looked at.
    """
    faults = _faults(archive, bundle, nights.reference, as_of, config)
    if nights.note:
        return Evidence(None, {}, faults)
    then, now = ([seen[night] for night in side] for side in (nights.reference, nights.current))
    promised = {goal: (_promised(goal, then), _promised(goal, now)) for goal in sorted(bundle.models)}
    return Evidence(compared(then, now, bundle, before, config), promised, faults)


def compared(
    then: Sequence[Seen], now: Sequence[Seen], bundle: Bundle, before: Mapping[str, float], config: Config
) -> DriftResult:
    """The drift check of people as they were seen on nights of the reference, and on nights of now."""
    seen = [*then, *now]
    person = np.concatenate([one.people for one in seen])
    sides = np.repeat([0, 1], [len(then), len(now)])
    window = np.repeat(sides, [len(one.people) for one in seen])
    frame = {name: np.concatenate([one.columns[name] for one in seen]) for name in seen[0].columns}
    coded = [one.column for one in crm_of(bundle).attributes if one.values is not None]
    return drift.check(
        {name: values for name, values in frame.items() if name not in config.drift.ignore},
        person,
        window,
        categorical=coded,
        recorded=[one.column for one in crm_of(bundle).attributes],
        importance=importance(bundle),
        before=before,
        permutations=config.drift.permutations,
        q=config.drift.q,
        floor=config.drift.floor,
        seed=config.training.seed,
    )


def importance(bundle: Bundle) -> dict[str, float]:
    """What each feature means to the champion: its share of the gain, over goals by their weights.

    What a rate means goes to the counts that it is made of: see `Seen.of`.
    """
    total: dict[str, float] = {}
    rates = spec.counts_of_rates(bundle.models)
    for goal, model in bundle.models.items():
        for name, share in learning.importance(model):
            parts = rates.get(name, (name,))
            for part in parts:
                total[part] = total.get(part, 0.0) + bundle.weights[goal] * share / len(parts)
    return total


@dataclass(frozen=True)
class Seen:
    """A stable sample of a night's people (P,): their features and score, and all candidates' probabilities by goal.

    The score is the mean relevance of a person's candidates, as a multiple of that night's geometric mean over people:
    what contents there are raises or lowers it for all at once, for weeks, which says nothing about people.
    """

    people: Ints
    columns: Mapping[str, Floats]
    probabilities: Mapping[str, Floats]

    @classmethod
    def of(cls, found: NightFeatures, bundle: Bundle, config: Config, log_days: float) -> Seen:
        """Two kinds of features are left out, because how they move says nothing about people: those that look further
        back than the log went (`log_days`) on the reference nights, which grow with the log; and smoothed rates, of
        which everybody's is a part: of those who did nothing it is all, so that they seem to move from night to night
        as one. Their counts are looked at.
        """
        people = stable_sample(found.history.people, config.drift.people)
        goals, vocabulary = tuple(config.goals), crm_of(bundle)
        wanted = looked_for(bundle, config, log_days)
        matrix = found.person_matrix(goals, bundle.context["cuts"], vocabulary)[people]
        scored = score.score(found, bundle, config, people)
        place = np.searchsorted(people, scored.person)
        total = np.bincount(place, weights=scored.relevance, minlength=len(people))
        candidates = np.bincount(place, minlength=len(people))
        columns = {drift.SCORE: relative(total / np.maximum(candidates, 1))}
        names = spec.names(goals, "person", vocabulary.attributes)
        columns |= {
            name: values.astype(np.float64) for name, values in zip(names, matrix.T, strict=True) if name in wanted
        }
        return cls(found.history.people[people], columns, scored.probabilities)

    @classmethod
    def from_arrays(cls, kept: Arrays) -> Seen:
        """What `arrays` gave."""
        return cls(kept[looks.PEOPLE], looks.below("columns", kept), looks.below("probabilities", kept))

    @property
    def arrays(self) -> Arrays:
        """All of it, to be kept."""
        said = {**looks.under("columns", self.columns), **looks.under("probabilities", self.probabilities)}
        return {looks.PEOPLE: self.people, **said}


def looked_for(bundle: Bundle, config: Config, log_days: float) -> list[str]:
    """The features that are looked at of people, in the models' order; see `Seen.of`."""
    goals, rates = tuple(config.goals), spec.counts_of_rates(config.goals)
    features = spec.features(goals, crm=crm_of(bundle).attributes)
    return [
        one.name for one in features if one.group == "person" and one.memory_days <= log_days and one.name not in rates
    ]


def relative(relevance: Floats) -> Floats:
    """As multiples of the geometric mean; who has no candidates, or nothing to expect of them, has no score."""
    logs = np.log(relevance, out=np.full(len(relevance), np.nan), where=relevance > 0)
    return np.asarray(np.exp(logs - np.nanmean(logs))) if np.isfinite(logs).any() else logs


def _promised(goal: str, seen: Sequence[Seen]) -> float:
    """The AUC that the probabilities promise of a goal."""
    return expected_auc(np.concatenate([one.probabilities[goal] for one in seen]))


# ---------------------------------------------------------------- what went missing


def _faults(
    archive: Archive, bundle: Bundle, reference: Sequence[datetime], as_of: datetime, config: Config
) -> tuple[Burst, ...]:
    """What is missing, or unknown, far more often tonight than on the reference nights: of events and of the CRM."""
    if not reference:
        return ()
    sides = [*((0, night) for night in reference), (1, as_of)]
    tables = [*_of_events(archive, sides, config), *_of_crm(archive, sides, crm_of(bundle))]
    settings = config.drift
    judged = [
        bursts(kept, person, window, permutations=settings.permutations, q=settings.q, floor=settings.burst)
        for faults, person, window in tables
        if len(np.unique(window)) == 2
        and (kept := {name: rows for name, rows in faults.items() if name.partition(":")[0] not in settings.ignore})
    ]
    return tuple(sorted((one for some in judged for one in some), key=lambda one: one.name))


Faults = tuple[dict[str, NDArray[np.bool_]], Ints, Ints]


def _of_events(archive: Archive, sides: Sequence[tuple[int, datetime]], config: Config) -> Iterator[Faults]:
    """The events of the day before each night, source by source: which columns they do not fill."""
    day = day_or_step(config)
    parts = []
    for side, night in sides:
        inside = pc.and_(
            pc.greater_equal(archive.events["ts"], pa.scalar(night - day, archive.events["ts"].type)),
            pc.less(archive.events["ts"], pa.scalar(night, archive.events["ts"].type)),
        )
        rows = archive.events.filter(inside)
        parts.append(rows.append_column("window", pa.array(np.full(rows.num_rows, side), pa.int64())))
    events = pa.concat_tables(parts)
    for source in sorted(pc.unique(events["source"]).to_pylist()):
        rows = events.filter(pc.equal(events["source"], source))
        missing = {
            f"{name}: missing in {source}": np.asarray(pc.is_null(rows[name]).combine_chunks())
            for name in RAW
            if name in rows.column_names
        }
        yield missing, _ints(rows["person_id"]), _ints(rows["window"])


def _of_crm(archive: Archive, sides: Sequence[tuple[int, datetime]], vocabulary: Vocabulary) -> Iterator[Faults]:
    """The customers whom the CRM knows on each night: which attributes they lack, and which values are new."""
    if not vocabulary.attributes:
        return
    people, windows = [], []
    faults: dict[str, list[NDArray[np.bool_]]] = {}
    for side, night in sides:
        known = archive.customers_at(night)
        some = np.unique(_ints(known["person_id"]))
        said = _coded(known, some, vocabulary)
        for one in vocabulary.attributes:
            values = said[one.column]
            faults.setdefault(f"{one.column}: missing", []).append(np.isnan(values))
            if one.values is not None:
                faults.setdefault(f"{one.column}: unknown value", []).append(values == len(one.values))
        people.append(some)
        windows.append(np.full(len(some), side))
    yield (
        {name: np.concatenate(parts) for name, parts in faults.items()},
        np.concatenate(people),
        np.concatenate(windows),
    )


def _coded(customers: pa.Table, people: Ints, vocabulary: Vocabulary) -> dict[str, Floats]:
    from features import crm

    table = crm.coded(crm.facts(customers, people), people, vocabulary)
    return {name: np.asarray(table[name].combine_chunks()) for name in table.column_names}


def _ints(values: pa.ChunkedArray) -> Ints:
    return np.asarray(values.combine_chunks()).astype(np.int64)
