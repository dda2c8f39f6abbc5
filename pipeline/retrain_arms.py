"""The reasons to train, one after the other: what each looked at, what it found, and whether it calls for a new model.

The data must be whole before anything else counts: what is missing is no news of people, and a model that learned from
it is worse than an old one. Who asks, or has no champion that fits, gets a training at once. Age, drift and a dip have
to wait until the last training is some days old, so that the system cannot flap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from models.drift import SCORE, TOGETHER, DriftResult
from models.performance import CANNOT_TELL, DIPPED, STEADY, Dip
from pipeline.config import Config
from pipeline.drift_evidence import Evidence
from pipeline.performance_evidence import Performance
from pipeline.records import ModelVersion
from pipeline.reports.decision import Arm, State

_DAY = timedelta(days=1)

_AGAIN = 7.0
"""Days that drift and age wait after the last challenger, for each that was refused, but no longer than a champion may
be old: it had learned of what is new, and was no better. With so much more to learn from the next may be."""


@dataclass(frozen=True)
class Known:
    """All that the arms look at.

    `predecessor` is the version that served before the champion; `misfit`: the champion cannot score what the
    configuration asks for now. `trained` is when a training last ended, whatever came of it. `labels_reach`: the nights
    that performance is judged on are among those that drift is looked for on. `matters` are features that mean
    something to the champion; `refused` is how many challengers were refused since it serves.
    """

    as_of: datetime
    champion: ModelVersion | None
    predecessor: str | None
    misfit: bool
    trained: datetime | None
    evidence: Evidence
    drift_note: str
    performance: Performance
    performance_note: str
    labels_reach: bool
    matters: frozenset[str]
    refused: int = 0


def arms(known: Known, config: Config, *, asked: bool) -> list[Arm]:
    """Every arm, whether it speaks or not; the first that fires gives the reason."""
    predecessor = _predecessor(known)
    waiting, answered = _waiting(known, config, predecessor), _answered(known, config)
    return [
        _quality(known),
        _arm("asked for", asked, "somebody asked for it (--retrain)." if asked else "nobody asked."),
        _arm("always", config.retrain.when == "always", f"retrain.when is {config.retrain.when}."),
        _no_champion(known),
        _goals(known),
        predecessor,
        _held(_performance(known), waiting),
        _held(_drift(known), waiting or answered),
        _held(_age(known, config), waiting or answered),
        _promised(known, config),
    ]


def _arm(
    name: str, fires: bool, detail: str, state: State | None = None, figures: Mapping[str, float | None] | None = None
) -> Arm:
    said: State = state or ("fires" if fires else "quiet")
    return Arm(name=name, fired=fires, state=said, detail=detail, figures=figures or {})


def _quality(known: Known) -> Arm:
    broken = [fault for fault in known.evidence.faults if fault.burst]
    if not broken:
        looked = len(known.evidence.faults)
        said = f"none of {looked} columns misses more than it did." if looked else "there is nothing to look at yet."
        return _arm("data quality", False, said)
    told = "; ".join(
        f"{one.name} in {100 * one.current:.1f} % of the rows, {100 * one.reference:.1f} % before" for one in broken[:3]
    )
    worst = broken[0]
    return _arm(
        "data quality",
        True,
        f"{told}.",
        "blocks",
        {"statistic": worst.current - worst.reference, "p_value": worst.adjusted, "columns": float(len(broken))},
    )


def _no_champion(known: Known) -> Arm:
    said = f"version {known.champion.version} serves." if known.champion else "there is no champion yet."
    return _arm("no champion", known.champion is None, said)


def _goals(known: Known) -> Arm:
    if known.champion is None:
        return _arm("goals", False, "there is no champion yet.")
    if known.misfit:
        return _arm("goals", True, "the champion was trained for other goals or features.")
    return _arm("goals", False, "the champion was trained for these goals.")


def _performance(known: Known) -> Arm:
    dips = known.performance.dips
    if not dips:
        note = known.performance_note or "nobody came on these nights"
        return _arm("performance", False, f"not tested: {note}.", "not tested")
    worst = max(dips, key=lambda dip: (_RANK[dip.verdict], dip.low - dip.margin))
    states: dict[str, State] = {DIPPED: "fires", STEADY: "quiet", CANNOT_TELL: "cannot tell"}
    return _arm(
        "performance",
        worst.verdict == DIPPED,
        f"{worst}.",
        states[worst.verdict],
        _figures(worst),
    )


def _figures(dip: Dip) -> dict[str, float | None]:
    return {
        "statistic": dip.drop,
        "low": dip.low,
        "high": dip.high,
        "threshold": dip.margin,
        "n": float(dip.positives),
        "needed": None if dip.needed is None else float(dip.needed),
    }


def _predecessor(known: Known) -> Arm:
    """A champion whose lists are worse than its predecessor's would have been is taken back at once."""
    dip = known.performance.predecessor
    if known.champion is None or known.predecessor is None or dip is None:
        return _arm("predecessor", False, "not tested: there is no other model to compare with.", "not tested")
    told = (
        f"on the nights since then version {known.predecessor} would have reached NDCG@10 {dip.reference:.4f}, and "
        f"version {known.champion.version} reached {dip.current:.4f}"
    )
    if dip.verdict == DIPPED:
        said = f"{told}: at least {dip.low:.4f} less at {100 * dip.level:.5g} %."
        return _arm("predecessor", True, said, "rolls back", _figures(dip))
    state: State = "cannot tell" if dip.verdict == CANNOT_TELL else "quiet"
    return _arm("predecessor", False, f"{told}.", state, _figures(dip))


_RANK = {STEADY: 0, CANNOT_TELL: 1, DIPPED: 2}


def _drift(known: Known) -> Arm:
    result = known.evidence.result
    if result is None:
        return _arm("drift", False, f"not tested: {known.drift_note}.", "not tested")
    tested = len(result.features) + (result.together is not None)
    told = f"{len(result.moved)} of {tested} distributions moved: {_moved(result) or 'none'}"
    figures = _drift_figures(result)
    if not result.moved:
        return _arm("drift", False, f"{told}.", figures=figures)
    if not result.twice:
        return _arm("drift", False, f"{told}; a second night in a row would count.", "warns", figures)
    if not known.matters & set(result.twice):
        return _arm("drift", False, f"{told}; the champion hardly reads what moved on both nights.", "warns", figures)
    dips = known.performance.dips
    if known.labels_reach and dips and all(dip.verdict == STEADY for dip in dips):
        return _arm("drift", False, f"{told}; but what people did since shows no harm.", "warns", figures)
    return _arm("drift", True, f"{told}, for two nights.", figures=figures)


def _moved(result: DriftResult) -> str:
    said = [f"{one.name} (PSI {one.psi:.3f}, p {one.adjusted:.4f})" for one in result.features if one.drifted]
    both = result.together
    if both and both.drifted:
        said.append(f"{TOGETHER} (AUC {both.auc:.3f}, p {both.adjusted:.4f})")
    return ", ".join(said[:3])


def _drift_figures(result: DriftResult) -> dict[str, float | None]:
    most = max(result.features, key=lambda one: (one.drifted, one.name == SCORE, one.psi))
    return {"statistic": most.psi, "p_value": most.adjusted, "n": float(result.people_current)}


def _age(known: Known, config: Config) -> Arm:
    if known.champion is None:
        return _arm("age", False, "there is no champion yet.")
    age, most = (known.as_of - known.champion.as_of) / _DAY, config.retrain.max_age_days
    return _arm(
        "age",
        age >= most,
        f"the champion is {age:.1f} days old; {most:g} are allowed.",
        figures={"statistic": age, "threshold": most},
    )


def _promised(known: Known, config: Config) -> Arm:
    """Confidence-based performance estimation: a warning while labels mature, and never more."""
    drops = {goal: then - now for goal, (then, now) in known.evidence.promised.items()}
    if not drops:
        return _arm("expected performance", False, "not estimated: there is nothing to compare.", "not tested")
    goal = max(sorted(drops), key=lambda one: drops[one])
    then, now = known.evidence.promised[goal]
    warns = drops[goal] > config.retrain.dip_margin
    said = f"by its own probabilities the champion's AUC of {goal} goes from {then:.4f} to {now:.4f}"
    more = "; labels will tell" if warns else ""
    return _arm(
        "expected performance",
        False,
        f"{said}{more}.",
        "warns" if warns else "quiet",
        {"statistic": drops[goal], "threshold": config.retrain.dip_margin},
    )


def _waiting(known: Known, config: Config, predecessor: Arm) -> str:
    """Why age, drift and dips have to wait; nothing, where they do not."""
    if predecessor["state"] == "rolls back":
        return "another model serves from now on"
    if known.trained is None:
        return ""
    days = config.retrain.cool_down_days - (known.as_of - known.trained) / _DAY
    return f"the last training is too recent ({days:.1f} days to go)" if days > 0 else ""


def _answered(known: Known, config: Config) -> str:
    """Why drift and age have to wait longer than that; nothing, where they do not."""
    if not known.refused or known.trained is None:
        return ""
    wait = min(_AGAIN * known.refused, config.retrain.max_age_days)
    days = wait - (known.as_of - known.trained) / _DAY
    return f"the last challenger was refused, and the next is tried in {days:.1f} days" if days > 0 else ""


def _held(arm: Arm, why: str) -> Arm:
    if not why or not arm["fired"]:
        return arm
    return {**arm, "fired": False, "state": "held back", "detail": f"{arm['detail']} It has to wait: {why}."}


def first_that_fires(arms: Sequence[Arm]) -> Arm | None:
    """The reason to train, if there is one."""
    return next((arm for arm in arms if arm["state"] == "fires"), None)
