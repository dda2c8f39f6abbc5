"""The page about one night's decision: train again or not, which reasons spoke, and how far each feature moved."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Literal, NotRequired, TypedDict

from pipeline.reports import page as paper

_FEATURES_SHOWN = 40
_LARGE_PSI = 0.25


State = Literal["fires", "blocks", "rolls back", "warns", "held back", "cannot tell", "not tested", "quiet"]


class Arm(TypedDict):
    """One reason to train or to hold back (age, drift, worse grades, missing data): whether it spoke, and on what.

    `fired`: it decides something; `state` says what. `figures` are what it measured, by name (`statistic`, `threshold`,
    `low`, `high`, `n` …).
    """

    name: str
    fired: bool
    state: State
    detail: str
    figures: Mapping[str, float | None]


class FeatureRow(TypedDict):
    """How far one feature moved: population stability index, p-value, p-value adjusted for all that was tested.

    `bins` say what each bin holds, `reference` and `current` the shares of the rows in it.
    """

    name: str
    psi: float | None
    p_value: float | None
    adjusted: float | None
    drifted: bool
    weight: float
    bins: Sequence[str]
    reference: Sequence[float]
    current: Sequence[float]


class Decision(TypedDict):
    """All that the page says; the same record is kept as `decision.json`. Populations map a label to its value."""

    project: str
    as_of: str
    retrain: bool
    verdict: str
    arms: Sequence[Arm]
    features: Sequence[FeatureRow]
    reference: NotRequired[Mapping[str, object]]
    current: NotRequired[Mapping[str, object]]
    facts: NotRequired[Sequence[tuple[str, object]]]
    method: NotRequired[str]
    """One sentence on the test: permutations, false discovery rate, floor."""
    footer: NotRequired[str]


def decision_page(decision: Decision) -> str:
    """The whole page as one HTML file."""
    body = [
        paper.facts(decision.get("facts", ())),
        _arms_section(decision["arms"]),
        _populations_section(decision.get("reference", {}), decision.get("current", {})),
        _features_section(decision["features"], decision.get("method", "")),
    ]
    kicker = f"{decision['project']} · decision · {decision['as_of']}"
    return paper.page(f"Decision {decision['as_of']}", kicker, decision["verdict"], body, decision.get("footer", ""))


def _arms_section(arms: Sequence[Arm]) -> str:
    rows = [paper.row([escape(arm["name"]), _flag(arm["fired"]), escape(arm["detail"])], texts=3) for arm in arms]
    if not rows:
        return ""
    return paper.section(
        "Reasons to train", "One yes is enough.", paper.table(["Reason", "", "On what"], rows, texts=3)
    )


def _flag(fired: bool) -> str:
    return '<span class="yes">yes</span>' if fired else '<span class="no">no</span>'


def _populations_section(reference: Mapping[str, object], current: Mapping[str, object]) -> str:
    labels = list(dict.fromkeys((*reference, *current)))
    if not labels:
        return ""
    rows = [
        paper.row([escape(label), *(escape(paper.text(side.get(label))) for side in (reference, current))])
        for label in labels
    ]
    note = "The reference is what the champion was trained on; the current is what came since."
    return paper.section("Who is compared", note, paper.table(["", "Reference", "Current"], rows))


def _features_section(features: Sequence[FeatureRow], method: str) -> str:
    """Drifted ones first, then by PSI, so that a table cut short never hides one that drifted."""
    if not features:
        return ""
    ordered = sorted(features, key=lambda feature: (not feature["drifted"], -_psi(feature), feature["name"]))
    shown = ordered[:_FEATURES_SHOWN]
    full = max(_LARGE_PSI, *(_psi(feature) for feature in ordered))
    table = paper.table(
        ["Feature", "", "PSI", "p", "adjusted", ""], [_feature_row(one, full) for one in shown], texts=2
    )
    left_out = len(ordered) - len(shown)
    rest = f'<p class="note">{left_out} more in decision.json.</p>' if left_out else ""
    return paper.section("Features", method, table, rest)


def _psi(feature: FeatureRow) -> float:
    """Nothing to compare counts as no movement."""
    psi = feature["psi"]
    return 0.0 if psi is None or math.isnan(psi) else psi


def _feature_row(feature: FeatureRow, full: float) -> str:
    drifted = '<span class="yes">drifted</span>' if feature["drifted"] else '<span class="no">steady</span>'
    return paper.row(
        [
            escape(feature["name"]),
            paper.bar(_psi(feature) / full, on=feature["drifted"]),
            paper.number(feature["psi"], 4),
            paper.number(feature["p_value"], 4),
            paper.number(feature["adjusted"], 4),
            drifted,
        ],
        texts=2,
    )
