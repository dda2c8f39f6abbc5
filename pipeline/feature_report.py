"""The report on a night's features: worked out here, drawn by `pipeline.reports.features`, kept in MLflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features import definitions, spec
from features.crm import Vocabulary
from features.measures import Attribute
from features.spec import Feature
from models import drift, learning
from models.classifier import Bundle
from pipeline import registry, tracking
from pipeline.bundles import load_bundle
from pipeline.config import Config
from pipeline.lake import Lake
from pipeline.records import ModelVersion, Tracker
from pipeline.reports import features_page
from pipeline.reports.bins import histogram, tenths
from pipeline.reports.features import FeaturePage, FeatureRow, Values

Floats = NDArray[np.float64]
Importance = Mapping[str, Mapping[str, float]]
"""By goal, each feature's share of the champion's gain."""

_MOST = 100_000
"""Rows, evenly spaced, that are looked at for anything but coverage: people come in the order of their pseudonyms."""

_METRICS = 150
"""Features whose coverage and index are metrics, the most important first: MLflow draws each."""

NO_CRM = Vocabulary()
_TABLES = {"person": "person_features", "content": "content_features"}


@dataclass(frozen=True)
class Reference:
    """The night that is compared with, and why that one."""

    night: datetime
    people: pa.Table
    contents: pa.Table
    why: str


def run(
    as_of: datetime, people: pa.Table, contents: pa.Table, config: Config, *, missing: Sequence[str] = ()
) -> FeaturePage:
    """Make the night's report and keep it in MLflow: `features.html`, and coverage and index as metrics.

    Args:
        people: What was written to `person_features`.
        contents: What was written to `content_features`.
        missing: Sentences about what the night was built without.
    """
    lake = Lake.of(config)
    tracker = Tracker(lake.tracking, config.project.name)
    champion = registry.champion(tracker, as_of)
    bundle = load_bundle(tracker, champion.version) if champion else None
    made = page(
        as_of,
        people,
        contents,
        listed(people, config, Vocabulary.from_json(bundle.context.get("crm")) if bundle else NO_CRM),
        reference(lake, as_of, bundle),
        importance(bundle),
        config,
        champion=champion,
        missing=missing,
    )
    tracking.log_features(tracker, as_of, features_page(made), metrics(made), _described(made))
    return made


def listed(people: pa.Table, config: Config, vocabulary: Vocabulary = NO_CRM) -> tuple[Feature, ...]:
    """All features: places for the categories that the night's table has columns for, what is read of the CRM."""
    start = "last_session_category_"
    categories = [name.removeprefix(start) for name in people.column_names if name.startswith(start)]
    return spec.features(config.goals, categories, vocabulary.attributes)


def importance(bundle: Bundle | None) -> dict[str, dict[str, float]]:
    """Of each goal's model."""
    return {goal: dict(learning.importance(model)) for goal, model in bundle.models.items()} if bundle else {}


def reference(lake: Lake, as_of: datetime, bundle: Bundle | None) -> Reference | None:
    """The champion's last training night if the lake has its features, else the earliest night that it has."""
    nights = sorted({*lake.nights(_TABLES["person"])} & {*lake.nights(_TABLES["content"])})
    earlier = [night for night in nights if night < as_of]
    trained = [datetime.fromisoformat(night) for night in bundle.context.get("nights", ())] if bundle else []
    if trained and trained[-1] in earlier:
        night, why = trained[-1], "the champion's last training night"
    elif earlier:
        night, why = earlier[0], "the earliest night in the lake"
    else:
        return None
    people, contents = (lake.read_night(table, night) for table in _TABLES.values())
    return Reference(night, people, contents, why)


def page(
    as_of: datetime,
    people: pa.Table,
    contents: pa.Table,
    features: Sequence[Feature],
    reference: Reference | None,
    importance: Importance,
    config: Config,
    *,
    champion: ModelVersion | None = None,
    missing: Sequence[str] = (),
) -> FeaturePage:
    """All figures of the report. Features that a table lacks are listed in `missing`; nothing is left out silently."""
    now = {"person": people, "content": contents}
    before = {"person": reference.people, "content": reference.contents} if reference else {}
    log_days = _log_days(before.get("person"))
    rows = [_row(feature, now, before, importance, log_days) for feature in features]
    return FeaturePage(
        project=config.project.name,
        as_of=as_of.isoformat(),
        people=people.num_rows,
        contents=contents.num_rows,
        features=rows,
        reference=f"{reference.night:%Y-%m-%d %H:%M}, {reference.why}" if reference else None,
        people_before=reference.people.num_rows if reference else None,
        contents_before=reference.contents.num_rows if reference else None,
        champion=f"version {champion.version}, trained for {champion.as_of:%Y-%m-%d}" if champion else None,
        missing=[*missing, *_absent(features, now), *_unknown(features, importance)],
    )


def metrics(made: FeaturePage) -> dict[str, float]:
    """`coverage.<feature>` and `psi.<feature>` of the features that matter most, and how many rows there are."""
    kept = sorted((row for row in made.features if row.now and row.modelled), key=lambda row: -row.gain)[:_METRICS]
    found = {"people": float(made.people), "contents": float(made.contents), "features": float(len(made.features))}
    found |= {f"coverage.{row.name}": row.now.coverage for row in kept if row.now}
    return found | {f"psi.{row.name}": row.psi for row in kept if row.psi is not None}


def _described(made: FeaturePage) -> str:
    moved = [row.name for row in made.features if row.moved]
    compared = f"compared with {made.reference}" if made.reference else "nothing to compare with yet"
    most = f"; {len(moved)} moved noticeably" if made.reference else ""
    return f"{len(made.features)} features of {made.people:,} people and {made.contents:,} contents, {compared}{most}."


# ---------------------------------------------------------------- what is missing


def _absent(features: Sequence[Feature], now: Mapping[str, pa.Table]) -> Iterator[str]:
    for group, table in now.items():
        written = (f for f in features if f.group == group and not isinstance(f.measure, Attribute))
        lacks = [f.name for f in written if f.name not in table.column_names]
        if lacks:
            yield f"{_TABLES[group]} was written without {', '.join(lacks)}."
        known = {f.name for f in features if f.group == group}
        if more := [name for name in _numbers(table) if name not in known]:
            yield f"{_TABLES[group]} has columns that are in no list of features: {', '.join(more)}."


def _numbers(table: pa.Table) -> list[str]:
    return [field.name for field in table.schema if pa.types.is_floating(field.type)]


def _unknown(features: Sequence[Feature], importance: Importance) -> Iterator[str]:
    read = {name for shares in importance.values() for name in shares}
    if gone := sorted(read - {f.name for f in features}):
        yield f"The champion reads what is no feature any more: {', '.join(gone)}."
    if read and (new := [f.name for f in features if f.modelled and f.name not in read]):
        yield f"The champion does not read {len(new)} features that there are now: it is older than they are."


def _log_days(people: pa.Table | None) -> float:
    """How far back the log went: as far as anybody is known."""
    if people is None or "tenure_days" not in people.column_names or not people.num_rows:
        return float("inf")
    return float(np.nanmax(np.append(_column(people, "tenure_days"), 0.0)))


# ---------------------------------------------------------------- one feature


def _row(
    feature: Feature,
    now: Mapping[str, pa.Table],
    before: Mapping[str, pa.Table],
    importance: Importance,
    log_days: float,
) -> FeatureRow:
    told: dict[str, Any] = {
        "name": feature.name,
        "group": feature.group,
        "unit": feature.unit,
        "meaning": feature.meaning,
        "measured": definitions.measured_in_words(feature),
        "memory": definitions.memory_in_words(feature) if feature.group in _TABLES else "",
        "modelled": feature.modelled,
        "importance": {goal: shares[feature.name] for goal, shares in importance.items() if feature.name in shares},
    }
    if feature.group not in now or feature.name not in now[feature.group].column_names:
        return FeatureRow(**told)
    values = _column(now[feature.group], feature.name)
    known = feature.group in before and feature.name in before[feature.group].column_names
    earlier = _column(before[feature.group], feature.name) if known else None
    grows = earlier is not None and feature.measure is not None and feature.memory_days > log_days
    return FeatureRow(**told, **_figures(values, earlier), grows=grows)


def _figures(values: Floats, earlier: Floats | None) -> dict[str, Any]:
    sample, sample_before = _spaced(values), None if earlier is None else _spaced(earlier)
    found: dict[str, Any] = {
        "now": _values(values, sample),
        "before": None if earlier is None or sample_before is None else _values(earlier, sample_before),
        "constant": len(values) > 1 and bool((values == values[0]).all()),
        "picture": histogram(sample, sample_before),
    }
    if sample_before is not None and len(sample) and len(sample_before):
        picture, reference_counts, counts = tenths(sample, sample_before, drift.quantile_edges(sample_before))
        found |= {"tenths": picture, "psi": float(drift.psi(reference_counts, counts))}
        found["chance"] = (len(picture.now) - 1) * (1 / len(sample) + 1 / len(sample_before))
    return found


def _values(values: Floats, sample: Floats) -> Values:
    there = sample[~np.isnan(sample)]
    quantiles = np.quantile(there, [0.05, 0.5, 0.95]) if len(there) else np.full(3, np.nan)
    coverage = float((~np.isnan(values)).mean()) if len(values) else 0.0
    return Values(len(values), coverage, *map(float, quantiles))


def _column(table: pa.Table, name: str) -> Floats:
    """Missing and infinite values as NaN."""
    values = table[name].cast(pa.float64()).to_numpy().astype(np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def _spaced(values: Floats) -> Floats:
    return values[np.linspace(0, len(values) - 1, _MOST).astype(np.int64)] if len(values) > _MOST else values
