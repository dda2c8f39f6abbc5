"""Is a new model warranted tonight, and why? Every reason is looked at, and the decision is written down.

One JSON a night: each arm with what it measured and a sentence. It lies in the lake (`decisions`) and in MLflow, where
a page shows the same to people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from models import drift
from models.classifier import Bundle
from pipeline import compared_nights, decisions, drift_evidence, performance_evidence, registry, retrain_arms, tracking
from pipeline.build_features import crm_of, fits
from pipeline.bundles import load_bundle
from pipeline.compared_nights import ComparedNights, day_or_step
from pipeline.config import Config
from pipeline.decision_page import page_of
from pipeline.drift_evidence import Evidence
from pipeline.errors import ShortlistError
from pipeline.lake import Lake
from pipeline.looked_at import LookedAt
from pipeline.looks import Looks
from pipeline.night import Archive
from pipeline.performance_evidence import Answers, Performance
from pipeline.records import ModelVersion, Tracker
from pipeline.report import Report
from pipeline.reports import decision_page
from pipeline.reports.decision import Arm
from pipeline.retrain_arms import Known

_NO_CHAMPION = "there is no champion to compare with"


@dataclass(frozen=True)
class DriftReport(Report):
    """The night's decision: whether to retrain, the sentence that says why, and what each arm found.

    `blocked`: the data is broken, so nothing is trained or published. `moved` is what moved tonight, `drifted` what did
    on the night before as well, `beyond_chance` the size of what chance does not explain, whether it matters or not;
    `faults`, `dips` and `promised` are what the other arms measured. `rolled_back`: the version that is taken back
    (`from`), the one that serves again (`to`), and `why`; None on other nights.
    """

    as_of: str
    retrain: bool
    blocked: bool
    verdict: str
    champion: str | None
    arms: tuple[Arm, ...]
    moved: tuple[str, ...]
    drifted: tuple[str, ...]
    beyond_chance: Mapping[str, float]
    features: tuple[Mapping[str, Any], ...]
    together: Mapping[str, Any] | None
    faults: tuple[Mapping[str, Any], ...]
    dips: tuple[Mapping[str, Any], ...]
    promised: Mapping[str, Sequence[float]]
    nights: Mapping[str, Sequence[str]]
    rolled_back: Mapping[str, str] | None


def run(as_of: datetime, config: Config, *, retrain: bool = False) -> DriftReport:
    """Decide, and write the decision down: in the lake, in MLflow as JSON, and as a page.

    A champion whose lists are worse than its predecessor's would have been is taken back: lists are made by that one
    from tonight on.

    Raises:
        ShortlistError: The data is broken (far more is missing than on the champion's nights): the night is held back.
    """
    lake = Lake.of(config)
    tracker = Tracker(lake.tracking, config.project.name)
    champion = registry.champion(tracker, as_of)
    bundle = load_bundle(tracker, champion.version) if champion else None
    known, nights = _known(champion, bundle, as_of, config, lake, tracker)
    report = _decided(known, nights, _rolled_back(as_of, champion, lake), config, asked=retrain)
    record = report.to_json()
    decisions.write(lake, as_of, record)
    page = decision_page(page_of(report, known, nights, crm_of(bundle), config))
    tracking.log_decision(tracker, as_of, record, page)
    if report.rolled_back:
        registry.roll_back(tracker, as_of, report.rolled_back["to"], report.rolled_back["why"])
    if report.blocked:
        raise ShortlistError(f"{as_of.isoformat()}: {report.verdict}")
    return report


# ---------------------------------------------------------------- what is known


def _known(
    champion: ModelVersion | None,
    bundle: Bundle | None,
    as_of: datetime,
    config: Config,
    lake: Lake,
    tracker: Tracker,
) -> tuple[Known, Mapping[str, ComparedNights]]:
    earlier = [one for one in registry.versions(tracker) if one.as_of < as_of]
    trained = max((one.as_of for one in earlier), default=None)
    if champion is None or bundle is None:
        return _nobody(as_of, trained), {"drift": ComparedNights(), "performance": ComparedNights()}
    predecessor = registry.predecessor(tracker, as_of)
    nights = {
        "drift": compared_nights.for_drift(bundle, champion, as_of, config),
        "performance": compared_nights.for_performance(bundle, champion, as_of, config),
    }
    before = load_bundle(tracker, predecessor) if predecessor else None
    rival = before if before and fits(before, config) else None
    evidence, answers = _seen(as_of, champion, bundle, rival, nights, config, lake)
    looks = performance_evidence.look(champion, as_of, config)
    known = Known(
        as_of=as_of,
        champion=champion,
        predecessor=predecessor,
        misfit=not fits(bundle, config),
        trained=trained,
        evidence=evidence,
        drift_note=nights["drift"].note,
        performance=performance_evidence.found(answers, bundle, nights["performance"], looks, config),
        performance_note=nights["performance"].note,
        labels_reach=labels_reach(nights),
        matters=drift.matters(drift_evidence.importance(bundle)),
        refused=refused(earlier, registry.serving_since(tracker, as_of) or champion.as_of),
    )
    return known, nights


def _seen(
    as_of: datetime,
    champion: ModelVersion,
    bundle: Bundle,
    rival: Bundle | None,
    nights: Mapping[str, ComparedNights],
    config: Config,
    lake: Lake,
) -> tuple[Evidence, Mapping[datetime, Answers]]:
    """What is seen of people, and what models say on the nights that are judged; the archive is let go of."""
    archive = Archive.load(lake, config, as_of)
    looks = Looks.of(lake, config, [bundle] if rival is None else [bundle, rival])
    looked_at = LookedAt.of(archive, bundle, rival, nights["drift"], nights["performance"], looks, config)
    before = _beyond_chance_before(as_of, champion, config, lake)
    evidence = drift_evidence.found(archive, looked_at.people, bundle, nights["drift"], before, as_of, config)
    return evidence, looked_at.answers


def refused(earlier: Sequence[ModelVersion], since: datetime) -> int:
    """How many of the versions trained so far were refused since the champion serves: others met another champion."""
    return sum(one.as_of >= since and not one.promoted for one in earlier)


def _nobody(as_of: datetime, trained: datetime | None) -> Known:
    """What is known where there is no champion."""
    return Known(
        as_of=as_of,
        champion=None,
        predecessor=None,
        misfit=False,
        trained=trained,
        evidence=Evidence(None, {}, ()),
        drift_note=_NO_CHAMPION,
        performance=Performance(),
        performance_note=_NO_CHAMPION,
        labels_reach=False,
        matters=frozenset(),
    )


def _beyond_chance_before(as_of: datetime, champion: ModelVersion, config: Config, lake: Lake) -> Mapping[str, float]:
    """What was beyond chance on the night before, under the same champion; nothing where nobody looked."""
    record = decisions.of_night(lake, as_of - day_or_step(config))
    if record is None or record["champion"] != champion.version:
        return {}
    found: Mapping[str, float] = record.get("beyond_chance", {})
    return found


def _rolled_back(as_of: datetime, champion: ModelVersion | None, lake: Lake) -> Mapping[str, str] | None:
    """What this very night took back when it was run before: it is still so when it is run again."""
    found: Mapping[str, str] | None = (decisions.of_night(lake, as_of) or {}).get("rolled_back")
    return found if found and champion and champion.version == found["to"] else None


def labels_reach(nights: Mapping[str, ComparedNights]) -> bool:
    """Whether the outcome of any night that drift is looked for on is known."""
    looked, judged = nights["drift"].current, nights["performance"].current
    return bool(looked and judged) and judged[-1] >= looked[0]


# ---------------------------------------------------------------- what is decided


def _decided(
    known: Known,
    nights: Mapping[str, ComparedNights],
    before: Mapping[str, str] | None,
    config: Config,
    *,
    asked: bool,
) -> DriftReport:
    arms = retrain_arms.arms(known, config, asked=asked)
    reason = retrain_arms.first_that_fires(arms)
    blocks = next((arm for arm in arms if arm["state"] == "blocks"), None)
    never = config.retrain.when == "never" and not asked
    result, back = known.evidence.result, _taken_back(known, arms) or before
    return DriftReport(
        as_of=known.as_of.isoformat(),
        retrain=reason is not None and not never and blocks is None,
        blocked=blocks is not None,
        verdict=_verdict(reason, blocks, arms, back, never=never),
        champion=known.champion.version if known.champion else None,
        arms=tuple(arms),
        moved=result.moved if result else (),
        drifted=result.twice if result else (),
        beyond_chance=result.beyond_chance if result else {},
        features=tuple(asdict(feature) for feature in result.features) if result else (),
        together=asdict(result.together) if result and result.together else None,
        faults=tuple(asdict(fault) for fault in known.evidence.faults),
        dips=tuple(asdict(dip) for dip in known.performance.dips),
        promised={goal: list(both) for goal, both in known.evidence.promised.items()},
        nights={
            f"{name}_{side}": [night.isoformat() for night in getattr(one, side)]
            for name, one in nights.items()
            for side in ("reference", "current")
        },
        rolled_back=back,
    )


def _taken_back(known: Known, arms: Sequence[Arm]) -> Mapping[str, str] | None:
    why = next((arm["detail"] for arm in arms if arm["state"] == "rolls back"), None)
    if why is None or known.champion is None or known.predecessor is None:
        return None
    return {"from": known.champion.version, "to": known.predecessor, "why": why}


def _verdict(
    reason: Arm | None, blocks: Arm | None, arms: Sequence[Arm], back: Mapping[str, str] | None, *, never: bool
) -> str:
    if blocks is not None:
        return (
            f"Nothing is trained or published, because data is missing: {blocks['detail']} Repair the export and run "
            "the night again; if it is meant to be so, name the column in drift.ignore."
        )
    if back is not None:
        taken = f"Version {back['from']} is taken back, and version {back['to']} serves again: {back['why']}"
        return taken if reason is None or never else f"{taken} Train a challenger: {reason['detail']}"
    held = next((arm for arm in arms if arm["state"] == "held back"), None)
    if reason is None and held is not None:
        return f"The champion stays for now: {held['detail']}"
    if reason is None:
        untold = any(arm["state"] == "cannot tell" for arm in arms)
        more = " Whether it does as well as it did cannot be told yet: too few engagements." if untold else ""
        return f"The champion stays: nothing calls for a new model.{more}"
    if never:
        return f"No training, because retrain.when is never; otherwise: {reason['detail']}"
    return f"Train a challenger: {reason['detail']}"
